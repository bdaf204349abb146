//! `cargo xtask sim`: builds the simulation and plays it. What it does stands in
//! `crates/tidegate-sim`.

use anyhow::Result;

use crate::shell::{self, cargo};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Passed on, such as `--runs 20000`, `--seed 7 --log`; `--help` says what else
    #[arg(value_name = "OPTIONS", trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let sim = ["run", "--quiet", "--profile", "sim", "--package", "tidegate-sim", "--"];
    shell::run(cargo(sim).args(&arguments.options))
}
