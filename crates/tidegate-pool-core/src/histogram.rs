//! Histograms with fixed buckets, as Prometheus counts them.
//!
//! Cost: one binary search over at most 20 bounds and two additions per observation; no
//! allocation, no lock (the owner is behind one already).

use std::time::Duration;

/// Bounds for waits, in seconds: fine below a millisecond, since a checkout from a pool that is
/// not busy takes microseconds, and up to the default `pool_timeout`.
pub const WAIT_BOUNDS: &[f64] = &[
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];

/// Bounds for how long a server is held, in seconds: up to half an hour, where leaks live.
pub const HOLD_BOUNDS: &[f64] = &[0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 1800.0];

/// Bounds for how long it takes to open a server, in seconds.
pub const CONNECT_BOUNDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Counts per bucket and the sum of all observations.
#[derive(Debug, Clone)]
pub struct Histogram {
    bounds: &'static [f64],
    counts: Vec<u64>,
    sum_seconds: f64,
}

impl Histogram {
    /// An empty histogram. `bounds` are inclusive upper bounds in seconds, ascending.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum_seconds: 0.0 }
    }

    /// Counts one observation.
    pub fn observe(&mut self, value: Duration) {
        let seconds = value.as_secs_f64();
        let bucket = self.bounds.partition_point(|bound| *bound < seconds);
        self.counts[bucket] += 1;
        self.sum_seconds += seconds;
    }

    /// The upper bounds in seconds with the number of observations at or below each, cumulative,
    /// without the infinite one.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut total = 0;
        self.bounds.iter().zip(&self.counts).map(move |(bound, count)| {
            total += count;
            (*bound, total)
        })
    }

    /// How many observations there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all observations in seconds.
    pub fn sum_seconds(&self) -> f64 {
        self.sum_seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_on_a_bound_counts_below_it() {
        let mut histogram = Histogram::new(HOLD_BOUNDS);
        for millis in [1, 2, 10, 4_000_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let buckets: Vec<_> = histogram.buckets().collect();
        assert_eq!(buckets[0], (0.001, 1));
        assert_eq!(buckets[1], (0.01, 3));
        assert_eq!(buckets.last(), Some(&(1800.0, 3)));
        assert_eq!(histogram.count(), 4);
        assert!((histogram.sum_seconds() - 4000.013).abs() < 1e-9);
    }
}
