//! `cargo xtask`: one command per job, the same for people, hooks, and CI.
//!
//! Exit codes are those of `tidegate` itself: 1 a check failed, 2 usage, 3 could not run.

mod check;
mod test;
mod demo;
mod bench_peers;
mod drivers;
mod latency;
mod docs;
mod pg;
mod fuzz;
mod sim;
mod steps;
mod tidy;
mod child;
mod install;
mod gate;
mod node;
mod python;
mod runner;
mod statistics;
mod workspace;
mod shell;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::shell::CannotRun;

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "One command per job")]
struct Arguments {
    #[command(subcommand)]
    job: Job,
}

#[derive(Subcommand)]
enum Job {
    /// Before every commit: format, clippy, tidy, fast tests. Needs no PostgreSQL
    Check,
    /// What CI runs; installs what is missing. With FILTERS only the tests that match
    Test(test::Arguments),
    /// A throwaway PostgreSQL, the gate, an application, and a load; Ctrl-C ends all
    Demo(demo::Arguments),
    /// Tidegate and the distribution's PgBouncer under the same load: ratios, and whether they are
    /// good enough
    BenchPeers(bench_peers::Arguments),
    /// PostgreSQL's answers directly and through the gate, on any version. With FILTER only the scripts
    /// whose names contain it
    Pg(pg::Arguments),
    /// The drivers' own suites and our cases for them, directly and through both ports
    Drivers(drivers::Arguments),
    /// What the gate adds to the latency of a network, case by case, and whether it is little enough
    Latency(latency::Arguments),
    /// Writes the settings reference and the example file anew
    Docs(docs::Arguments),
    /// Feeds mutated bytes to a target
    Fuzz(fuzz::Arguments),
    /// Plays whole gates, applications, and PostgreSQL in a world that follows from a seed
    Sim(sim::Arguments),
    /// What no compiler checks: layers, module order, links, manifests
    Tidy,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().job {
        Job::Check => check::run(),
        Job::Test(arguments) => test::run(&arguments),
        Job::Demo(arguments) => demo::run(&arguments),
        Job::BenchPeers(arguments) => bench_peers::run(&arguments),
        Job::Pg(arguments) => pg::run(&arguments),
        Job::Drivers(arguments) => drivers::run(&arguments),
        Job::Latency(arguments) => latency::run(&arguments),
        Job::Docs(arguments) => docs::run(&arguments),
        Job::Fuzz(arguments) => fuzz::run(&arguments),
        Job::Sim(arguments) => sim::run(&arguments),
        Job::Tidy => tidy::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            if error.is::<CannotRun>() { ExitCode::from(3) } else { ExitCode::FAILURE }
        }
    }
}
