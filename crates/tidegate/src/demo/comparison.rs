//! Both runs side by side.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use crate::demo::load::{Failure, Outcome};

/// What one run of the application came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) outcome: Outcome,
    pub(crate) connections_most: usize,
    /// How often PostgreSQL refused a connection because there were too many.
    pub(crate) refused: usize,
}

/// The table, one line for each thing that was counted.
pub(crate) fn table(direct: &Run, gate: &Run, connections_max: u32) -> String {
    let mut text = format!("  {:<42}{:>16}{:>20}\n", "", "directly", "through Tidegate");
    let mut line = |name: &str, of: &dyn Fn(&Run) -> String| {
        let _ = writeln!(text, "  {name:<42}{:>16}{:>20}", of(direct), of(gate));
    };
    line("requests", &|run| run.outcome.requests().to_string());
    line("answered", &|run| with_share(run.outcome.answered(), run.outcome.requests()));
    let failures: BTreeSet<&Failure> =
        [direct, gate].into_iter().flat_map(|run| run.outcome.failed().keys()).collect();
    for failure in failures {
        let times = |run: &Run| run.outcome.failed().get(failure).copied().unwrap_or(0);
        line(&failure.label(), &|run| times(run).to_string());
    }
    line("answered per second", &|run| per_second(run.outcome.answered(), run.outcome.took));
    line("answer time, median", &|run| in_ms(run.outcome.percentile(50)));
    line("answer time, p99", &|run| in_ms(run.outcome.percentile(99)));
    let most = format!("most connections to Postgres (of {connections_max})");
    line(&most, &|run| run.connections_most.to_string());
    line("connections that Postgres refused", &|run| run.refused.to_string());
    text
}

fn with_share(part: u64, whole: u64) -> String {
    // Rounded down: a hundred per cent are all.
    format!("{part} ({} %)", (part * 100).checked_div(whole).unwrap_or(0))
}

fn per_second(count: u64, took: Duration) -> String {
    let per_second = u128::from(count) * 1000 / took.as_millis().max(1);
    per_second.to_string()
}

fn in_ms(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{} ms", time.as_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_hundred_per_cent_only_when_it_is_all() {
        assert_eq!(with_share(999, 1000), "999 (99 %)");
        assert_eq!(with_share(1000, 1000), "1000 (100 %)");
        assert_eq!(with_share(0, 0), "0 (0 %)");
    }

    #[test]
    fn rates_and_times_are_rounded_down_and_nothing_divides_by_zero() {
        assert_eq!(per_second(10, Duration::ZERO), "10000");
        assert_eq!(per_second(30, Duration::from_secs(10)), "3");
        assert_eq!(in_ms(Some(Duration::from_micros(1999))), "1 ms");
        assert_eq!(in_ms(None), "-");
    }
}
