//! What Tidegate must reach, and whether it does.

use crate::bench_peers::Outcome;
use crate::bench_peers::metric::Metric;
use crate::bench_peers::scenario::Scenario;

/// What is promised of a metric, in each of some scenarios.
struct Bound {
    metric: Metric,
    limit: Limit,
    scenarios: &'static [Scenario],
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Limit {
    /// Of the median of Tidegate's values.
    AtMost(f64),
    /// Of the median of the ratios to PgBouncer's.
    RatioAtLeast(f64),
    RatioAtMost(f64),
}

/// A bound in one scenario that was asked for.
#[derive(Debug, PartialEq)]
pub(super) struct Verdict {
    pub(super) scenario: Scenario,
    pub(super) metric: Metric,
    pub(super) limit: Limit,
    /// Nothing when the scenario has failed.
    pub(super) measured: Option<f64>,
}

impl Verdict {
    /// Nothing when that is not known.
    pub(super) fn is_met(&self) -> Option<bool> {
        let measured = self.measured?;
        Some(match self.limit {
            Limit::AtMost(most) | Limit::RatioAtMost(most) => measured <= most,
            Limit::RatioAtLeast(least) => measured >= least,
        })
    }

    pub(super) fn is_missed(&self) -> bool {
        self.is_met() == Some(false)
    }
}

/// The bounds of the scenarios that ran or should have, in the order of the table.
pub(super) fn verdicts(outcomes: &[Outcome]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for bound in BOUNDS {
        let asked = outcomes.iter().filter(|(scenario, _)| bound.scenarios.contains(scenario));
        for (scenario, result) in asked {
            let row = result.as_ref().ok().and_then(|comparison| comparison.row(bound.metric));
            let measured = row.map(|row| match bound.limit {
                Limit::AtMost(_) => row.tidegate,
                Limit::RatioAtLeast(_) | Limit::RatioAtMost(_) => row.ratio.median,
            });
            let (metric, limit) = (bound.metric, bound.limit);
            verdicts.push(Verdict { scenario: *scenario, metric, limit, measured });
        }
    }
    verdicts
}

const BOUNDS: &[Bound] = &[
    Bound {
        metric: Metric::Cpu,
        limit: Limit::RatioAtMost(0.95),
        scenarios: &[Scenario::Simple64, Scenario::Extended64],
    },
    // Beside PgBouncer's extended (`Scenario::work`), which sends a Parse each time.
    Bound {
        metric: Metric::Cpu,
        limit: Limit::RatioAtMost(0.85),
        scenarios: &[Scenario::Prepared64],
    },
    Bound { metric: Metric::Throughput, limit: Limit::RatioAtLeast(1.0), scenarios: LOADS },
    // Tails vary more between runs than anything else that is measured.
    Bound { metric: Metric::LatencyP99, limit: Limit::RatioAtMost(1.1), scenarios: LOADS },
    Bound {
        metric: Metric::Throughput,
        limit: Limit::RatioAtLeast(1.0),
        scenarios: &[Scenario::Connect],
    },
    // 10,000 clients, the default of `listen.clients_max`, in 12 MB.
    Bound {
        metric: Metric::IdleMemory,
        limit: Limit::AtMost(1.2),
        scenarios: &[Scenario::IdlePlain],
    },
    // What a TLS library keeps of a connection is most of it; 1,000 clients in 24 MB.
    Bound {
        metric: Metric::IdleMemory,
        limit: Limit::AtMost(24.0),
        scenarios: &[Scenario::IdleTls],
    },
];

const LOADS: &[Scenario] = &[
    Scenario::Simple8,
    Scenario::Simple64,
    Scenario::Extended8,
    Scenario::Extended64,
    Scenario::Prepared8,
    Scenario::Prepared64,
];

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;
    use crate::bench_peers::comparison::{Comparison, Row, Spread};

    fn measured(metric: Metric, tidegate: f64, ratio: f64) -> anyhow::Result<Comparison> {
        let ratio = Spread { median: ratio, min: 0.0, max: 9.0 };
        Ok(Comparison { rows: vec![Row { metric, tidegate, pgbouncer: 1.0, ratio }] })
    }

    fn met(outcome: Outcome) -> Vec<(Metric, Option<bool>)> {
        let verdicts = verdicts(&[outcome]);
        verdicts.iter().map(|verdict| (verdict.metric, verdict.is_met())).collect()
    }

    #[test]
    fn a_bound_is_met_at_its_limit_and_missed_beyond() {
        for (ratio, expected) in [(0.85, true), (0.86, false)] {
            let outcome = (Scenario::Prepared64, measured(Metric::Cpu, 10.0, ratio));
            assert_eq!(met(outcome)[0], (Metric::Cpu, Some(expected)));
        }
        for (ratio, expected) in [(1.0, true), (0.99, false)] {
            let outcome = (Scenario::Connect, measured(Metric::Throughput, 10.0, ratio));
            assert_eq!(met(outcome), [(Metric::Throughput, Some(expected))]);
        }
    }

    #[test]
    fn memory_is_bounded_by_itself_and_not_by_what_pgbouncer_needs() {
        for (kilobytes, expected) in [(1.2, true), (1.3, false)] {
            let outcome = (Scenario::IdlePlain, measured(Metric::IdleMemory, kilobytes, 0.1));
            assert_eq!(met(outcome), [(Metric::IdleMemory, Some(expected))]);
        }
    }

    #[test]
    fn the_bounds_of_a_failed_scenario_are_neither_met_nor_missed() {
        let outcomes = [(Scenario::IdleTls, Err(anyhow!("no TLS")))];
        let verdicts = verdicts(&outcomes);
        assert_eq!(verdicts.len(), 1);
        assert_eq!((verdicts[0].is_met(), verdicts[0].is_missed()), (None, false));
    }
}
