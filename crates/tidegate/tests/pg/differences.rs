//! Differences that are meant. Each must still occur: one that does not fails, too.

use crate::stage::Route;

/// A script whose answers through the gate are not PostgreSQL's, by design.
pub(crate) struct Difference {
    pub(crate) script: &'static str,
    pub(crate) route: Route,
    #[expect(dead_code, reason = "for whoever reads the table")]
    pub(crate) reason: &'static str,
}

pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        script: "prepared/protocol_meets_sql.wire",
        route: Route::Transaction,
        reason: "servers know statements of the protocol under names of the gate's own, so SQL's \
                 EXECUTE and DEALLOCATE do not find them (docs/guide/how-it-behaves.md)",
    },
    Difference {
        script: "schema_changes/cached_plan.wire",
        route: Route::Transaction,
        reason: PARSED_LATER,
    },
    Difference {
        script: "schema_changes/cached_plan_in_transaction.wire",
        route: Route::Transaction,
        reason: PARSED_LATER,
    },
    Difference { script: "settings/never_set.sql", route: Route::Session, reason: NEVER_SET },
    Difference { script: "settings/never_set.sql", route: Route::Transaction, reason: NEVER_SET },
    Difference { script: "temporary/never_made.sql", route: Route::Session, reason: NEVER_MADE },
    Difference {
        script: "temporary/never_made.sql",
        route: Route::Transaction,
        reason: NEVER_MADE,
    },
];

const PARSED_LATER: &str = "\
The next server had not parsed the statement before the change, and does so as things are now, where \
PostgreSQL refuses a statement whose result has changed (docs/guide/how-it-behaves.md).";

const NEVER_SET: &str = "\
A backend that has once seen a setting of an application's own knows it for the rest of its life: \
after any kind of reset, DISCARD ALL included, current_setting(name, true) is an empty string there \
where it was null. So it shows whether others have set it before, and PostgreSQL has no way back.";

const NEVER_MADE: &str = "\
The schema for temporary objects stays in a backend that has once made one, whatever is discarded; \
what is looked for in it is then unknown for another reason.";

/// Whether a script is meant to differ on a route.
pub(crate) fn is_meant(script: &str, route: Route) -> bool {
    DIFFERENCES.iter().any(|difference| difference.script == script && difference.route == route)
}
