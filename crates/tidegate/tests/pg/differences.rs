//! Differences that are meant. One that must always be seen and no longer is fails, too.

use crate::stage::Route;

/// A script whose answers through the gate are not PostgreSQL's, by design.
pub(crate) struct Difference {
    pub(crate) script: &'static str,
    pub(crate) route: Route,
    pub(crate) occurs: Occurs,
    #[expect(dead_code, reason = "for whoever reads the table")]
    pub(crate) reason: &'static str,
}

/// Whether a difference that is meant must be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occurs {
    Always,
    /// It depends on which server comes next, on what others have done on it, or on which of two
    /// is faster.
    Sometimes,
}

pub(crate) const DIFFERENCES: &[Difference] = &[
    here("prepared/protocol_meets_sql.wire", Route::Transaction, PROTOCOL_MEETS_SQL),
    here("schema_changes/cached_plan.wire", Route::Transaction, PARSED_ANEW),
    here("discard/all_of_startup.sql", Route::Session, RESTORED_LATER),
    here("discard/all_of_startup.sql", Route::Transaction, RESTORED_LATER),
    maybe("notify/channels.sql", Route::Transaction, HEARD_BY_ANOTHER),
    maybe("notify/heard_after_transaction.sql", Route::Transaction, TOLD_LATER),
    maybe("notify/in_pipeline.wire", Route::Transaction, TOLD_LATER),
    maybe("notify/itself.sql", Route::Transaction, TOLD_LATER),
    maybe("notify/listen_then_work.sql", Route::Transaction, TOLD_LATER),
    maybe("notify/on_commit.sql", Route::Transaction, TOLD_LATER),
    maybe("notify/listen_rolled_back.sql", Route::Transaction, HEARD_BY_ANOTHER),
    maybe("sequences/nextval.sql", Route::Transaction, SEQUENCES),
    maybe("sequences/serial.sql", Route::Transaction, SEQUENCES),
    maybe("settings/function_with_set.sql", Route::Transaction, HIDDEN),
    maybe("settings/custom.sql", Route::Transaction, NEVER_SET),
    maybe("settings/local_in_one_query.sql", Route::Transaction, NEVER_SET),
    maybe("settings/never_set.sql", Route::Session, NEVER_SET),
    maybe("settings/never_set.sql", Route::Transaction, NEVER_SET),
    here("settings/options_of_startup.sql", Route::Session, RESTORED_LATER),
    here("settings/options_of_startup.sql", Route::Transaction, RESTORED_LATER),
    here("settings/zone_of_startup.sql", Route::Session, RESTORED_LATER),
    here("settings/zone_of_startup.sql", Route::Transaction, RESTORED_LATER),
    maybe("settings/set_config.sql", Route::Transaction, NEVER_SET),
    maybe("settings/search_path_of_startup.sql", Route::Session, RESTORED_LATER),
    maybe("settings/search_path_of_startup.sql", Route::Transaction, RESTORED_LATER),
    maybe("settings/set_inside_do.sql", Route::Transaction, HIDDEN),
    maybe("settings/set_inside_function.sql", Route::Transaction, HIDDEN),
    maybe("temporary/made_by_function.sql", Route::Transaction, HIDDEN),
    here("temporary/never_made.sql", Route::Session, NEVER_MADE),
    here("temporary/never_made.sql", Route::Transaction, NEVER_MADE),
    maybe("transactions/first_is_listen.sql", Route::Transaction, TOLD_LATER),
];

const fn here(script: &'static str, route: Route, reason: &'static str) -> Difference {
    Difference { script, route, occurs: Occurs::Always, reason }
}

const fn maybe(script: &'static str, route: Route, reason: &'static str) -> Difference {
    Difference { script, route, occurs: Occurs::Sometimes, reason }
}

const HEARD_BY_ANOTHER: &str = "\
One server listens for all clients of the transaction port, so pg_listening_channels() on the \
client's own names none (docs/transaction-mode.md).";

const HIDDEN: &str = "\
What a function does to the session is not visible in the statement that calls it, and PostgreSQL \
reports it only of a few settings (docs/transaction-mode.md).";

const PROTOCOL_MEETS_SQL: &str = "\
Servers know statements of the protocol under names of the gate's own, so SQL's EXECUTE and \
DEALLOCATE do not find them (docs/transaction-mode.md).";

const PARSED_ANEW: &str = "\
A client that was never told what the result of a statement is like relies on nothing: the statement \
is parsed anew after a change, where PostgreSQL refuses it (docs/transaction-mode.md).";

const RESTORED_LATER: &str = "\
Settings that the client asked for when it connected are set again after it has reset them; what \
they are is reported behind the reset, not with it (docs/transaction-mode.md).";

const SEQUENCES: &str = "\
Only the session that has used a sequence knows its last value. Outside of the transaction that did, \
currval and lastval are not yet defined; once a client has asked for one it keeps its server, and \
they work (docs/transaction-mode.md).";

const TOLD_LATER: &str = "\
A notification comes from the server that listens for all, behind the ReadyForQuery of the client's \
own server instead of before it (docs/transaction-mode.md).";

const NEVER_SET: &str = "\
A backend that has once seen a setting of an application's own knows it for the rest of its life: \
after any kind of reset, DISCARD ALL included, current_setting(name, true) is an empty string there \
where it was null. So it shows whether others have set it before, and PostgreSQL has no way back.";

const NEVER_MADE: &str = "\
The schema for temporary objects stays in a backend that has once made one, whatever is discarded; \
what is looked for in it is then unknown for another reason.";

/// Whether a script is meant to differ on a route, and how often.
pub(crate) fn is_meant(script: &str, route: Route) -> Option<Occurs> {
    let mut all = DIFFERENCES.iter();
    let found = all.find(|difference| difference.script == script && difference.route == route);
    found.map(|difference| difference.occurs)
}
