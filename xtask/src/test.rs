//! `cargo xtask test`: everything that CI asks for, on a machine that may have nothing yet.
//!
//! The test runner comes last, so that its counts are the last thing to be read.

use anyhow::Result;

use crate::install::Need;
use crate::runner::{Extent, Runner};
use crate::shell::cargo;
use crate::steps::{static_checks, verdict};
use crate::{docs, drivers, fuzz, install, node, pg, python, shell};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Also the test binaries whose names start with `full_`, all versions of PostgreSQL, and the
    /// drivers' own suites
    #[arg(long)]
    full: bool,
    /// Passed on to the test runner; format, lints, and the rest are then left out
    #[arg(value_name = "FILTERS", trailing_var_arg = true, allow_hyphen_values = true)]
    filters: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    install::ensure(&[Need::Node, Need::Postgres, Need::PgBouncer, Need::PythonVenv])?;
    if arguments.full {
        install::ensure(&[Need::Iproute])?;
    }
    node::ready()?;
    python::ready()?;
    let runner = Runner::install();

    let mut results = Vec::new();
    if arguments.filters.is_empty() {
        results.extend(static_checks());
        results.push(("docs", docs::check()));
        results.push(("doc tests", shell::run(&mut cargo(DOC_TESTS.iter().copied()))));
        results.push(("fuzz", fuzz::smoke()));
        results.push(("planted bugs", shell::run(&mut cargo(PLANTED.iter().copied()))));
        results.push(("orders of threads", shell::run(&mut cargo(LOOM.iter().copied()))));
        if arguments.full {
            results.push(("other versions of PostgreSQL", pg::others()));
        }
        let drivers = if arguments.full { drivers::run_all() } else { drivers::run_cases() };
        results.push(("drivers", drivers));
    }
    let earlier = verdict(results);
    if let Err(error) = &earlier {
        eprintln!("\n{error:#}; the tests follow");
    }
    let extent = if arguments.full { Extent::Full } else { Extent::Usual };
    shell::run(&mut runner.all(extent, &arguments.filters)?)?;
    earlier
}

/// Only this is built with bugs that can be planted.
const PLANTED: &[&str] =
    &["test", "--quiet", "-p", "tidegate-sim", "--features", "planted", "--test", "planted"];

/// Locks are loom's only here.
const LOOM: &[&str] =
    &["test", "--quiet", "-p", "tidegate-proxy", "--features", "loom", "--test", "loom"];

const DOC_TESTS: &[&str] = &["test", "--quiet", "--workspace", "--doc"];
