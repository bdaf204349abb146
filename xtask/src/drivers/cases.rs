//! Cases of our own: what a driver's documentation promises, told in the driver's language.
//!
//! `drivers/NAME/cases.*` holds them; a program beside them or in `drivers/cases/` runs them.

use std::process::Command;

use anyhow::Result;
use tidegate_scratch::ClusterOptions;

use crate::drivers::outcome::Outcomes;
use crate::drivers::scripted;
use crate::drivers::stage::{Login, Setting, Stage};
use crate::install;
use crate::shell::root;
use crate::{node, python};

/// An application's role with a database of its own, as drivers mostly see it.
pub(super) fn setting() -> Setting {
    Setting {
        // Two-phase commit is a part of some drivers' interfaces.
        options: ClusterOptions::default().setting("max_prepared_transactions", "10"),
        sql: &[(
            "postgres",
            "CREATE ROLE app LOGIN PASSWORD 'secret'; CREATE DATABASE app OWNER app",
        )],
        login: Login { user: "app", password: Some("secret"), database: "app" },
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

/// Those for Node.js.
pub(super) fn node(driver: &str, stage: &Stage, words: &[String]) -> Result<Outcomes> {
    let mut cases = Command::new("node");
    cases.env("NODE_PATH", node::ready()?);
    cases.arg(root().join("drivers/cases/run.js"));
    cases.arg(root().join(format!("drivers/{driver}/cases.js")));
    cases.arg(stage.url("postgresql")).args(words);
    scripted::run(&cases)
}

/// Those in Java, compiled as they are started.
pub(super) fn java(driver: &str, stage: &Stage, words: &[String]) -> Result<Outcomes> {
    let Login { user, password, database } = stage.login;
    let mut cases = Command::new("java");
    cases.args(["-cp", install::PGJDBC]);
    cases.arg(root().join(format!("drivers/{driver}/Cases.java")));
    cases.arg(format!("127.0.0.1:{}/{database}", stage.port));
    cases.args([user, password.unwrap_or_default()]).args(words);
    scripted::run(&cases)
}
