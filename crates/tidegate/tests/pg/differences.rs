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
    Difference { script: "settings/never_set.sql", route: Route::Session, reason: NEVER_SET },
    Difference { script: "settings/never_set.sql", route: Route::Transaction, reason: NEVER_SET },
];

const NEVER_SET: &str = "\
A backend that has once seen a setting of an application's own knows it for the rest of its life: \
after any kind of reset, DISCARD ALL included, current_setting(name, true) is an empty string there \
where it was null. So it shows whether others have set it before, and PostgreSQL has no way back.";

/// Whether a script is meant to differ on a route.
pub(crate) fn is_meant(script: &str, route: Route) -> bool {
    DIFFERENCES.iter().any(|difference| difference.script == script && difference.route == route)
}
