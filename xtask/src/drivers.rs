//! `cargo xtask drivers`: the drivers' own suites and our named cases, at PostgreSQL itself and at
//! both ports of a gate.
//!
//! PostgreSQL itself says what a test is worth: one that fails there is not asked of a port. What
//! a port may do differently stands in `drivers/NAME/expected.toml`, with the reason; whatever else
//! fails is a finding, and so is an expected difference that is not there any more.
//!
//! Promises: each suite and place has a PostgreSQL and a gate of its own, on loopback and on ports
//! that nobody else has; nothing that was started outlives this process. Exit code 1 when there are
//! findings, 3 when something could not run.

mod report;
mod suite;

mod asyncpg;
mod tokio_postgres;
mod cases;

mod namespace;
mod scripted;
mod stage;
mod comparison;
mod expected;
mod place;
mod outcome;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum as _;

use crate::drivers::comparison::{Comparison, Finding};
use crate::drivers::expected::Expected;
use crate::drivers::outcome::{Outcome, Outcomes};
use crate::drivers::place::{Place, Port};
use crate::drivers::report::Report;
use crate::drivers::stage::Stage;
use crate::drivers::suite::{Kind, Suite};
use crate::gate;
use crate::install::{self, Need};
use crate::shell::CannotRun;

#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// Only these drivers
    #[arg(value_name = "NAME")]
    names: Vec<Suite>,
    /// Only tests whose names contain one of these
    #[arg(long, value_name = "WORD", num_args = 1..)]
    only: Vec<String>,
    /// A Tidegate that is already built [default: builds it, with debug assertions]
    #[arg(long, value_name = "PATH")]
    tidegate: Option<PathBuf>,
    /// Everything is prepared, and all ports are free
    #[arg(long, hide = true)]
    alone: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let chosen =
        if arguments.names.is_empty() { Suite::value_variants() } else { &arguments.names };
    run_suites(chosen, arguments)
}

/// All of it.
pub(crate) fn run_all() -> Result<()> {
    run(&Arguments::default())
}

/// What CI asks for: our own cases.
pub(crate) fn run_cases() -> Result<()> {
    let all = Suite::value_variants().iter().copied();
    let cases: Vec<Suite> = all.filter(|suite| suite.kind() == Kind::Cases).collect();
    run_suites(&cases, &Arguments::default())
}

fn run_suites(suites: &[Suite], arguments: &Arguments) -> Result<()> {
    let tidegate = prepare(suites, arguments).map_err(|error| CannotRun(format!("{error:#}")))?;
    if !arguments.alone && suites.iter().any(|suite| suite.setting().port.is_some()) {
        namespace::check()?;
        return namespace::enter(&as_words(suites, arguments, &tidegate));
    }
    let mut report = Report::default();
    for suite in suites {
        if let Err(error) = compare(*suite, &arguments.only, &tidegate, &mut report) {
            report.could_not_run(*suite, &error);
        }
    }
    println!("\n{report}");
    if report.findings() > 0 {
        bail!("{} findings", report.findings());
    }
    let incomplete = report.incomplete();
    if !incomplete.is_empty() {
        return Err(CannotRun(format!("could not run: {}", incomplete.join(", "))).into());
    }
    println!("drivers: all as expected");
    Ok(())
}

/// Says where the gate is.
fn prepare(suites: &[Suite], arguments: &Arguments) -> Result<PathBuf> {
    let needs = suites.iter().flat_map(|suite| suite.needs()).copied();
    install::ensure(&needs.chain([Need::Postgres]).collect::<Vec<_>>())?;
    if !arguments.alone {
        for suite in suites {
            suite.prepare().with_context(|| suite.to_string())?;
        }
    }
    match &arguments.tidegate {
        Some(path) => path.canonicalize().with_context(|| path.display().to_string()),
        None => gate::build_debug(),
    }
}

/// The same once more, for one that finds everything prepared.
fn as_words(suites: &[Suite], arguments: &Arguments, tidegate: &Path) -> Vec<String> {
    let mut words = vec!["drivers".to_owned()];
    words.extend(suites.iter().map(Suite::to_string));
    words.extend(["--alone".to_owned(), "--tidegate".to_owned(), tidegate.display().to_string()]);
    if !arguments.only.is_empty() {
        words.push("--only".to_owned());
        words.extend(arguments.only.iter().cloned());
    }
    words
}

fn compare(suite: Suite, only: &[String], tidegate: &Path, report: &mut Report) -> Result<()> {
    let mut expected = Expected::read(&suite.to_string())?;
    if !only.is_empty() {
        expected.retain(|test| only.iter().any(|word| test.contains(word)));
    }
    let (mut direct, _) = run_at(suite, Place::Direct, only, tidegate)?;
    let mut seen = Vec::new();
    for port in Port::ALL {
        let (outcomes, defects) = run_at(suite, Place::Port(port), only, tidegate)?;
        let suspects = comparison::suspects(port, &direct, &outcomes, &expected);
        look_again(suite, &suspects, tidegate, &mut direct)?;
        seen.push((port, outcomes, defects));
    }
    report.direct(suite, &direct, &findings_at_postgresql(suite, &direct));
    for (port, outcomes, defects) in seen {
        let mut comparison = Comparison::of(port, &direct, &outcomes, &expected);
        comparison.findings.extend(defects);
        report.port(suite, port, &comparison);
    }
    Ok(())
}

/// Some tests of some suites fail now and then wherever they run. One that fails at PostgreSQL
/// itself in one of several attempts says nothing of a port.
fn look_again(
    suite: Suite,
    suspects: &[String],
    tidegate: &Path,
    direct: &mut Outcomes,
) -> Result<()> {
    if suspects.is_empty() || suite.kind() == Kind::Cases {
        return Ok(());
    }
    for _ in 0..LOOKS {
        let (again, _) = run_at(suite, Place::Direct, suspects, tidegate)?;
        for (test, outcome) in again {
            if suspects.contains(&test) && matches!(outcome, Outcome::Failed(_)) {
                direct.insert(test, outcome);
            }
        }
    }
    Ok(())
}

/// What became of the tests, and what the gate has logged that it should not have.
fn run_at(
    suite: Suite,
    place: Place,
    only: &[String],
    tidegate: &Path,
) -> Result<(Outcomes, Vec<Finding>)> {
    eprintln!("{suite}, {place}");
    let stage = Stage::set(place, &suite.setting(), tidegate)?;
    let outcomes = suite.run(&stage, only).with_context(|| place.to_string())?;
    let defects = stage.defects().into_iter().map(|text| Finding {
        test: "the gate".to_owned(),
        what: "has logged an error of its own",
        text,
    });
    Ok((outcomes, defects.collect()))
}

/// Our own cases must pass there.
fn findings_at_postgresql(suite: Suite, direct: &Outcomes) -> Vec<Finding> {
    let mut findings = Vec::new();
    if suite.kind() == Kind::Cases {
        for (test, outcome) in direct {
            if let Outcome::Failed(text) = outcome {
                let what = "failed at PostgreSQL itself";
                findings.push(Finding { test: test.clone(), what, text: text.clone() });
            }
        }
    }
    findings
}

const LOOKS: u32 = 10;
