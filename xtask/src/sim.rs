//! `cargo xtask sim`: builds the simulation and plays it. What it does stands in
//! `crates/tidegate-sim`.

use anyhow::Result;

use crate::shell::{self, cargo};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Plays this seed only, twice: it must come out the same
    #[arg(long)]
    seed: Option<u64>,
    /// Plays so many seeds
    #[arg(long, default_value_t = 2000)]
    runs: u64,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Shows what the gates log
    #[arg(long)]
    log: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut sim = cargo(["run", "--quiet", "--profile", "sim", "--package", "tidegate-sim", "--"]);
    sim.args(["--runs", &arguments.runs.to_string(), "--from", &arguments.from.to_string()]);
    if let Some(seed) = arguments.seed {
        sim.args(["--seed", &seed.to_string()]);
    }
    if arguments.log {
        sim.arg("--log");
    }
    shell::run(&mut sim)
}
