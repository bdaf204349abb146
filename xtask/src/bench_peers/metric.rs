//! What is measured, its unit, and the values of one run.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Metric {
    Throughput,
    LatencyMedian,
    LatencyP99,
    Cpu,
    IdleMemory,
}

impl Metric {
    /// Name and unit.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Throughput => "transactions per second",
            Self::LatencyMedian => "latency p50, ms",
            Self::LatencyP99 => "latency p99, ms",
            Self::Cpu => "CPU of the pooler per transaction, µs",
            Self::IdleMemory => "memory per idle client, kB",
        }
    }

    /// A value with the digits that mean something.
    pub(super) fn format(self, value: f64) -> String {
        let digits = match self {
            Self::Throughput => 0,
            Self::Cpu => 1,
            Self::LatencyMedian | Self::LatencyP99 | Self::IdleMemory => 2,
        };
        format!("{value:.digits$}")
    }
}

/// What a run has shown. All runs of a scenario measure the same things in the same order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measures(pub(super) Vec<(Metric, f64)>);

impl fmt::Display for Measures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.0.iter();
        let shown = values.map(|(metric, value)| {
            let value = metric.format(*value);
            format!("{} {value}", metric.label())
        });
        f.write_str(&shown.collect::<Vec<_>>().join("; "))
    }
}
