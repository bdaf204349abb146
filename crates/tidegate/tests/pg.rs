//! Is it still PostgreSQL? Each script of `pg/scripts` runs directly and through both ports of a
//! gate, and all that is answered must be the same, byte for byte.
//!
//! What a script is stands in `pg/scripts/README.md`; what may differ, and why, in `pg/normal.rs`
//! and `pg/differences.rs`. Scripts say nothing of what is right: PostgreSQL itself does.
//! `cargo xtask pg` runs this on any version; by itself it takes PostgreSQL 15.

#[path = "pg/topic.rs"]
mod topic;
#[path = "pg/differences.rs"]
mod differences;
#[path = "pg/play.rs"]
mod play;
#[path = "pg/stage.rs"]
mod stage;
#[path = "pg/noise.rs"]
mod noise;
#[path = "pg/report.rs"]
mod report;
#[path = "pg/shown.rs"]
mod shown;
#[path = "pg/normal.rs"]
mod normal;
#[path = "pg/script.rs"]
mod script;
#[path = "pg/sql.rs"]
mod sql;
#[path = "pg/wire.rs"]
mod wire;
#[path = "pg/tokens.rs"]
mod tokens;
#[path = "pg/step.rs"]
mod step;

/// One test per folder of scripts, so that a failure says where to look.
macro_rules! topics {
    ($($topic:ident)*) => {
        $(
            #[test]
            fn $topic() {
                topic::check(stringify!($topic));
            }
        )*

        const TOPICS: &[&str] = &[$(stringify!($topic)),*];
    };
}

topics! {
    advisory_locks
    copy
    cursors
    ddl
    discard
    dml
    errors
    functions
    large
    large_objects
    locks
    notices
    notify
    pipelines
    prepared
    protocol
    queries
    row_security
    schema_changes
    sequences
    settings
    statements
    temporary
    transactions
    triggers
    two_phase
    types
    visibility
}

#[test]
fn every_folder_of_scripts_has_its_test() {
    assert_eq!(topic::folders(), TOPICS);
}

#[test]
fn every_difference_is_of_a_script() {
    for difference in differences::DIFFERENCES {
        let script = script::folder().join(difference.script);
        assert!(script.exists(), "{} is not there", difference.script);
    }
}
