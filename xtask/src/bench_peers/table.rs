//! Results as tables of Markdown whose columns line up, so that a terminal shows them well, too.

use anyhow::{Error, Result};

use crate::bench_peers::bounds::{Limit, Verdict};
use crate::bench_peers::comparison::{Comparison, Row};
use crate::bench_peers::scenario::Scenario;

pub(super) fn of_scenario(scenario: Scenario, result: Result<&Comparison, &Error>) -> String {
    let body = match result {
        Ok(comparison) => aligned(&COMPARISON_HEAD, comparison.rows.iter().map(cells).collect()),
        Err(error) => format!("failed: {error:#}\n"),
    };
    format!("### {scenario}\n\n{}\n\n{body}", scenario.description())
}

pub(super) fn of_bounds(verdicts: &[Verdict]) -> String {
    let rows = verdicts.iter().map(|verdict| {
        let limit = match verdict.limit {
            Limit::AtMost(most) => format!("≤ {most}"),
            Limit::RatioAtLeast(least) => format!("ratio ≥ {least:.2}"),
            Limit::RatioAtMost(most) => format!("ratio ≤ {most:.2}"),
        };
        let measured = verdict.measured.map_or("failed".to_owned(), |value| match verdict.limit {
            Limit::AtMost(_) => verdict.metric.format(value),
            // One digit more than the limit has, so that a near miss does not look like a hit.
            Limit::RatioAtLeast(_) | Limit::RatioAtMost(_) => format!("{value:.3}"),
        });
        let met = match verdict.is_met() {
            Some(true) => "yes",
            Some(false) => "no",
            None => "unknown",
        };
        let what = format!("{}: {}", verdict.scenario, verdict.metric.label());
        vec![what, limit, measured, met.to_owned()]
    });
    format!("### Bounds\n\n{}", aligned(&BOUNDS_HEAD, rows.collect()))
}

fn cells(row: &Row) -> Vec<String> {
    let ratio = |value: f64| format!("{value:.3}");
    vec![
        row.metric.label().to_owned(),
        row.metric.format(row.tidegate),
        row.metric.format(row.pgbouncer),
        ratio(row.ratio.median),
        ratio(row.ratio.min),
        ratio(row.ratio.max),
    ]
}

/// The first column to the left, the others to the right.
fn aligned(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(String::as_str);
        cells.chain(head.get(column).copied()).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::from("|");
        for (column, (cell, width)) in cells.zip(&widths).enumerate() {
            line.push_str(&match column {
                0 => format!(" {cell:<width$} |"),
                _ => format!(" {cell:>width$} |"),
            });
        }
        line + "\n"
    };
    let mut text = line(&mut head.iter().copied());
    text.push('|');
    for (column, width) in widths.iter().enumerate() {
        let dashes = "-".repeat(width + 1);
        text.push_str(&if column == 0 { format!(":{dashes}|") } else { format!("{dashes}:|") });
    }
    text.push('\n');
    rows.iter().for_each(|row| text.push_str(&line(&mut row.iter().map(String::as_str))));
    text
}

const COMPARISON_HEAD: [&str; 6] =
    ["Medians of the rounds", "Tidegate", "PgBouncer", "Ratio, median", "min", "max"];
const BOUNDS_HEAD: [&str; 4] = ["Bound", "Limit", "Measured", "Met"];

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;
    use crate::bench_peers::comparison::Spread;
    use crate::bench_peers::metric::Metric;

    #[test]
    fn a_scenario_is_a_table_with_columns_that_line_up() {
        let ratio = Spread { median: 1.25, min: 1.2, max: 1.3 };
        let row = Row { metric: Metric::Cpu, tidegate: 12.34, pgbouncer: 9.87, ratio };
        let text = of_scenario(Scenario::Simple8, Ok(&Comparison { rows: vec![row] }));
        assert_eq!(
            text,
            "### simple-8\n\npgbench -S -M simple: 8 clients\n\n\
             | Medians of the rounds                 | Tidegate | PgBouncer | Ratio, median |   min |   max |\n\
             |:--------------------------------------|---------:|----------:|--------------:|------:|------:|\n\
             | CPU of the pooler per transaction, µs |     12.3 |       9.9 |         1.250 | 1.200 | 1.300 |\n"
        );
    }

    #[test]
    fn a_scenario_that_failed_says_why() {
        let error = anyhow!("no such setting").context("Tidegate, round 1");
        let text = of_scenario(Scenario::IdleTls, Err(&error));
        assert!(text.ends_with("\n\nfailed: Tidegate, round 1: no such setting\n"), "{text}");
    }

    #[test]
    fn each_bound_says_what_was_measured_and_whether_it_is_met() {
        let verdict =
            |scenario, metric, limit, measured| Verdict { scenario, metric, limit, measured };
        let text = of_bounds(&[
            verdict(Scenario::Simple8, Metric::Throughput, Limit::RatioAtLeast(1.0), Some(0.998)),
            verdict(Scenario::IdlePlain, Metric::IdleMemory, Limit::AtMost(1.2), Some(0.5)),
            verdict(Scenario::IdleTls, Metric::IdleMemory, Limit::AtMost(24.0), None),
        ]);
        let words = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect();
        let rows: Vec<Vec<String>> = text.lines().skip(4).map(words).collect();
        let expected = [
            ["", "simple-8: transactions per second", "ratio ≥ 1.00", "0.998", "no", ""],
            ["", "idle-plain: memory per idle client, kB", "≤ 1.2", "0.50", "yes", ""],
            ["", "idle-tls: memory per idle client, kB", "≤ 24", "failed", "unknown", ""],
        ];
        assert_eq!(rows, expected);
    }
}
