//! `cargo xtask latency`: what the gate adds to the latency of a network.
//!
//! A proxy that delays stands in front of one throwaway PostgreSQL. Each case is timed as its
//! client sees it, directly through the proxy and through a gate that reaches PostgreSQL through
//! the same proxy. The repetitions alternate, so what the machine does meanwhile befalls both.
//!
//! Exit code 1 when a case adds more than it may, 3 when it could not be measured.

mod pair;
mod cases;
mod side;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::gate;
use crate::install::{self, Need};
use crate::latency::cases::{CASES, Case, Wait};
use crate::latency::pair::Stage;
use crate::shell::CannotRun;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Repetitions of each case
    #[arg(long, value_name = "N", default_value_t = 60,
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    repetitions: u32,
    /// Round trip of the network between the gate and PostgreSQL, in milliseconds
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..=1000))]
    round_trip: u32,
    /// A Tidegate that is already built [default: builds the release]
    #[arg(long, value_name = "PATH")]
    tidegate: Option<PathBuf>,
}

/// Medians in milliseconds.
struct Row<'a> {
    case: &'a Case,
    direct: f64,
    gated: f64,
}

/// What the gate may add where it need not wait, in milliseconds: its own work, two more hops over
/// loopback, and what the scheduler takes for them.
const ADDED_MAX: f64 = 0.3;

/// A round trip too many is there each time; what others do on the machine is not.
const ATTEMPTS: u32 = 3;

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    install::ensure(&[Need::Postgres])?;
    let tidegate = match &arguments.tidegate {
        Some(path) => path.canonicalize().with_context(|| path.display().to_string())?,
        None => gate::build_release()?,
    };
    println!(
        "Medians of {} repetitions in ms; a round trip to PostgreSQL takes {} ms\n",
        arguments.repetitions, arguments.round_trip
    );
    println!("| {:<60} | direct |  gate | added | may add | met |", "Case");
    println!("|:{:-<60}-|-------:|------:|------:|--------:|----:|", "");
    let mut rows = Vec::new();
    for case in CASES {
        let mut row = measure(&tidegate, case, arguments)?;
        for _ in 1..ATTEMPTS {
            if is_met(&row, arguments.round_trip) {
                break;
            }
            eprintln!("once more: {}", line(&row, arguments.round_trip));
            row = measure(&tidegate, case, arguments)?;
        }
        println!("{}", line(&row, arguments.round_trip));
        rows.push(row);
    }
    println!();
    for case in CASES {
        if let Wait::Awaited(reason) = case.wait {
            println!("{}: {reason}", case.name);
        }
    }
    let missed = rows.iter().filter(|row| !is_met(row, arguments.round_trip)).count();
    if missed > 0 {
        bail!("{missed} of {} cases add more than they may", rows.len());
    }
    Ok(())
}

fn measure<'a>(tidegate: &Path, case: &'a Case, arguments: &Arguments) -> Result<Row<'a>> {
    let round_trip = Duration::from_millis(arguments.round_trip.into());
    // The testkit panics where something can't go on.
    let measured = catch_unwind(AssertUnwindSafe(|| {
        Stage::start(tidegate, round_trip, case).measure(case, arguments.repetitions)
    }));
    let (direct, gated) =
        measured.map_err(|_| CannotRun(format!("\"{}\" could not be measured", case.name)))?;
    Ok(Row { case, direct, gated })
}

/// What a case may add, in milliseconds; nothing where it waits by design, which takes as long as
/// PostgreSQL takes to answer.
fn allowed(case: &Case, round_trip: u32) -> Option<f64> {
    let saved = match case.wait {
        Wait::None => 0,
        Wait::Saves(trips) => trips * round_trip,
        Wait::Awaited(_) => return None,
    };
    Some(ADDED_MAX - f64::from(saved))
}

fn is_met(row: &Row<'_>, round_trip: u32) -> bool {
    allowed(row.case, round_trip).is_none_or(|most| row.gated - row.direct <= most)
}

fn line(row: &Row<'_>, round_trip: u32) -> String {
    let Row { case, direct, gated } = row;
    let (most, met) = match allowed(case, round_trip) {
        Some(most) => (format!("{most:.2}"), if is_met(row, round_trip) { "yes" } else { "no" }),
        None => ("waits".to_owned(), "-"),
    };
    let (name, added) = (case.name, gated - direct);
    format!("| {name:<60} | {direct:>6.2} | {gated:>5.2} | {added:>5.2} | {most:>7} | {met:>3} |")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_may_add_little_and_must_save_what_it_is_said_to_save() {
        for (wait, gated, expected) in [
            (Wait::None, 5.2, "yes"),
            (Wait::None, 5.4, "no"),
            (Wait::Saves(1), 0.2, "yes"),
            (Wait::Saves(1), 5.0, "no"),
            (Wait::Awaited("why"), 10.4, "-"),
        ] {
            let (flags, time): (_, fn(&mut _, _) -> _) = (&[], |_, _| Duration::ZERO);
            let case = Case { name: "x", port: cases::Port::Transaction, wait, flags, time };
            let row = Row { case: &case, direct: 5.0, gated };
            let line = line(&row, 5);
            assert!(line.ends_with(&format!(" {expected} |")), "{line}");
            assert_eq!(is_met(&row, 5), expected != "no", "{line}");
        }
    }
}
