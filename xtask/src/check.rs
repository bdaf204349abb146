//! `cargo xtask check`: what should hold before every commit, in under a minute when warm.

use anyhow::Result;

use crate::runner::Runner;
use crate::shell;
use crate::steps::{static_checks, verdict};
use crate::tidy::layers;

pub(crate) fn run() -> Result<()> {
    let mut results = static_checks();
    for mut tests in Runner::find().fast(&layers::read()?.pure()) {
        results.push(("tests", shell::run(&mut tests)));
    }
    verdict(results)
}
