//! Cases of our own: what a driver's documentation promises, told in the driver's language.
//!
//! `drivers/NAME/cases.*` holds them; a program beside them or in `drivers/cases/` runs them.

use std::process::Command;

use anyhow::Result;
use tidegate_scratch::ClusterOptions;

use crate::drivers::outcome::Outcomes;
use crate::drivers::scripted;
use crate::drivers::stage::{Login, Setting, Stage};
use crate::python;
use crate::shell::root;

/// An application's role with a database of its own, as drivers mostly see it.
pub(super) fn setting() -> Setting {
    Setting {
        // Two-phase commit is a part of some drivers' interfaces.
        options: ClusterOptions::default().setting("max_prepared_transactions", "10"),
        sql: &[(
            "postgres",
            "CREATE ROLE app LOGIN PASSWORD 'secret'; CREATE DATABASE app OWNER app",
        )],
        login: Login { user: "app", password: "secret", database: "app" },
        ..Setting::default()
    }
}

/// Those in Python.
pub(super) fn python(driver: &str, stage: &Stage, words: &[String]) -> Result<Outcomes> {
    let mut cases = Command::new(python::program(&python::ready()?));
    cases.arg(root().join("drivers/cases/run.py"));
    cases.arg(root().join(format!("drivers/{driver}/cases.py")));
    cases.arg(stage.url("postgresql")).args(words);
    scripted::run(&cases)
}
