//! `cargo xtask demo`: builds, installs what the demo needs, and becomes `tidegate demo`.

use std::os::unix::process::CommandExt as _;

use anyhow::{Context as _, Result};

use crate::install::{self, Need};
use crate::shell::command;
use crate::{gate, python};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Passed on to `tidegate demo`
    #[arg(value_name = "ARGUMENTS", trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    install::ensure(&[Need::Postgres, Need::PythonVenv])?;
    let python = python::ready()?;
    let program = gate::build_release()?;

    // As `activate` does it: `python3` is then the one that has the packages.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(python.join("bin")).chain(std::env::split_paths(&path));
    let path = std::env::join_paths(folders).context("PATH")?;
    let mut demo = command(&program, ["demo"]);
    demo.args(&arguments.rest).env("PATH", path).env("VIRTUAL_ENV", &python);
    // In our place rather than below us: Ctrl-C and the exit code are then the demo's own.
    Err(demo.exec()).with_context(|| format!("cannot run {}", program.display()))
}
