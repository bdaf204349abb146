//! `cargo xtask bench-peers`: Tidegate and the PgBouncer of the distribution under the same load.
//!
//! Both pool in transaction mode in front of one throwaway PostgreSQL. Each run has a pooler process
//! of its own, and the two of a round follow each other directly, first one and then the other
//! first: what the machine does meanwhile befalls both, so ratios are taken within rounds.
//!
//! Promises: nothing that was started outlives this process, however it ends. A scenario that
//! cannot run is reported, and the others go on. Exit code 1 when a bound is missed, otherwise 3
//! when something could not run.

mod page;
mod table;
mod bounds;
mod comparison;

mod measure;
mod scenario;
mod machine;
mod peers;

mod idle;
mod pgbench;
mod upstream;
mod metric;

mod certificate;
mod process;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::bench_peers::comparison::{Comparison, Pair};
use crate::bench_peers::metric::Measures;
use crate::bench_peers::peers::{Peer, Peers};
use crate::bench_peers::scenario::Scenario;
use crate::gate;
use crate::install::{self, Need};
use crate::shell::CannotRun;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Pairs of runs in each scenario
    #[arg(long, value_name = "N", default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long pgbench runs each time
    #[arg(long, value_name = "SECONDS", default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Only these scenarios
    #[arg(long, value_name = "SCENARIO", num_args = 1..)]
    only: Vec<Scenario>,
    /// A Tidegate that is already built [default: builds the release]
    #[arg(long, value_name = "PATH")]
    tidegate: Option<PathBuf>,
    /// Writes the result to docs/performance.md
    #[arg(long)]
    write: bool,
}

/// What became of a scenario.
type Outcome = (Scenario, Result<Comparison>);

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (peers, head) = prepare(arguments).map_err(|error| CannotRun(format!("{error:#}")))?;
    let mut report = head;
    println!("{report}");

    let mut outcomes = Vec::new();
    for scenario in chosen(&arguments.only) {
        let result = compare(&peers, scenario, arguments);
        let text = table::of_scenario(scenario, result.as_ref());
        println!("{text}");
        report.push('\n');
        report.push_str(&text);
        outcomes.push((scenario, result));
    }
    let verdicts = bounds::verdicts(&outcomes);
    let text = table::of_bounds(&verdicts);
    println!("{text}");
    report.push('\n');
    report.push_str(&text);
    if arguments.write {
        page::write(&report).map_err(|error| CannotRun(format!("{error:#}")))?;
    }
    answer(&verdicts, &outcomes)
}

/// All that can fail before there is anything to report, and the report's beginning.
fn prepare(arguments: &Arguments) -> Result<(Peers, String)> {
    install::ensure(&[Need::Postgres, Need::PgBouncer, Need::OpenSsl, Need::Python])?;
    let tidegate = match &arguments.tidegate {
        Some(path) => path.canonicalize().with_context(|| path.display().to_string())?,
        None => gate::build_release()?,
    };
    // Before the data is loaded, which would count as work of others.
    let machine = machine::describe()?;
    let peers = Peers::prepare(tidegate)?;
    let versions = machine::versions(&peers, arguments.tidegate.is_none())?;
    let (rounds, seconds) = (arguments.rounds, arguments.seconds);
    let method = format!(
        "Method: {rounds} rounds, {seconds} s for each run of pgbench; pgbench, the pooler, and \
         PostgreSQL share the cores"
    );
    Ok((peers, format!("- {machine}\n- {versions}\n- {method}\n")))
}

fn chosen(only: &[Scenario]) -> Vec<Scenario> {
    let all = <Scenario as clap::ValueEnum>::value_variants().iter().copied();
    all.filter(|scenario| only.is_empty() || only.contains(scenario)).collect()
}

fn compare(peers: &Peers, scenario: Scenario, arguments: &Arguments) -> Result<Comparison> {
    let mut pairs = Vec::new();
    for round in 1..=arguments.rounds {
        let measure = |peer: Peer| -> Result<Measures> {
            let measures = measure::run(peers, peer, scenario, arguments.seconds)
                .with_context(|| format!("{peer}, round {round}"))?;
            eprintln!("{scenario} {round}/{} {peer}: {measures}", arguments.rounds);
            Ok(measures)
        };
        let pair = if round % 2 == 1 {
            let tidegate = measure(Peer::Tidegate)?;
            Pair { tidegate, pgbouncer: measure(Peer::PgBouncer)? }
        } else {
            let pgbouncer = measure(Peer::PgBouncer)?;
            Pair { tidegate: measure(Peer::Tidegate)?, pgbouncer }
        };
        pairs.push(pair);
    }
    Ok(Comparison::of(&pairs))
}

fn answer(verdicts: &[bounds::Verdict], outcomes: &[Outcome]) -> Result<()> {
    let missed = verdicts.iter().filter(|verdict| verdict.is_missed()).count();
    if missed > 0 {
        bail!("{missed} of {} bounds are missed", verdicts.len());
    }
    let failed = outcomes.iter().filter(|(_, result)| result.is_err());
    let failed: Vec<String> = failed.map(|(scenario, _)| scenario.to_string()).collect();
    if !failed.is_empty() {
        return Err(CannotRun(format!("could not run: {}", failed.join(", "))).into());
    }
    Ok(())
}
