//! From pairs of runs to medians and ratios.

use crate::bench_peers::metric::{Measures, Metric};
use crate::statistics::median;

/// Two runs that followed each other.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) tidegate: Measures,
    pub(super) pgbouncer: Measures,
}

/// All pairs of a scenario.
#[derive(Debug)]
pub(super) struct Comparison {
    pub(super) rows: Vec<Row>,
}

/// One metric of both.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Row {
    pub(super) metric: Metric,
    /// Medians over the rounds.
    pub(super) tidegate: f64,
    pub(super) pgbouncer: f64,
    /// Tidegate's value divided by PgBouncer's, within each round.
    pub(super) ratio: Spread,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Comparison {
    pub(super) fn of(pairs: &[Pair]) -> Self {
        let metrics = pairs.first().into_iter().flat_map(|pair| &pair.tidegate.0);
        let rows = metrics.enumerate().map(|(index, (metric, _))| {
            let values =
                pairs.iter().map(|pair| (pair.tidegate.0[index].1, pair.pgbouncer.0[index].1));
            let ratios = values.clone().map(|(tidegate, pgbouncer)| tidegate / pgbouncer);
            Row {
                metric: *metric,
                tidegate: median(values.clone().map(|(tidegate, _)| tidegate)),
                pgbouncer: median(values.map(|(_, pgbouncer)| pgbouncer)),
                ratio: Spread {
                    median: median(ratios.clone()),
                    min: ratios.clone().fold(f64::INFINITY, f64::min),
                    max: ratios.fold(f64::NEG_INFINITY, f64::max),
                },
            }
        });
        Self { rows: rows.collect() }
    }

    pub(super) fn row(&self, metric: Metric) -> Option<&Row> {
        self.rows.iter().find(|row| row.metric == metric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_within_rounds_and_not_between_medians() {
        let pair = |tidegate, pgbouncer| Pair {
            tidegate: Measures(vec![(Metric::Throughput, tidegate)]),
            pgbouncer: Measures(vec![(Metric::Throughput, pgbouncer)]),
        };
        // The machine was slow in the second round, for both.
        let pairs = [pair(110.0, 100.0), pair(66.0, 60.0), pair(90.0, 100.0)];
        let row = Comparison::of(&pairs).rows[0];
        assert_eq!((row.tidegate, row.pgbouncer), (90.0, 100.0));
        assert_eq!(row.ratio, Spread { median: 1.1, min: 0.9, max: 1.1 });
    }
}
