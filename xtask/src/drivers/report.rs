//! What is printed at the end: a table, and one sentence.

use std::fmt;

use crate::drivers::comparison::{Comparison, Finding};
use crate::drivers::outcome::{Outcome, Outcomes};
use crate::drivers::place::{Place, Port};
use crate::drivers::suite::Suite;

#[derive(Debug, Default)]
pub(super) struct Report {
    rows: Vec<Row>,
    /// Tests of drivers' own suites that fail at PostgreSQL itself.
    not_ours: Vec<(Suite, String)>,
    findings: usize,
    could_not_run: Vec<Suite>,
}

/// Of one suite at one place.
#[derive(Debug)]
struct Row {
    suite: Suite,
    place: Place,
    passed: usize,
    failed: usize,
    failed_directly: usize,
    skipped: usize,
    differences: usize,
}

impl Report {
    /// PostgreSQL itself; `findings` are failures of cases that must pass there.
    pub(super) fn direct(&mut self, suite: Suite, outcomes: &Outcomes, findings: &[Finding]) {
        let count = |of: fn(&Outcome) -> bool| outcomes.values().filter(|it| of(it)).count();
        let is_finding = |test: &str| findings.iter().any(|finding| finding.test == test);
        let failed = outcomes.iter().filter(|(_, it)| matches!(it, Outcome::Failed(_)));
        let not_ours: Vec<_> = failed
            .filter(|(test, _)| !is_finding(test))
            .map(|(test, _)| (suite, test.clone()))
            .collect();
        self.rows.push(Row {
            suite,
            place: Place::Direct,
            passed: count(|outcome| *outcome == Outcome::Passed),
            failed: findings.len(),
            failed_directly: not_ours.len(),
            skipped: count(|outcome| *outcome == Outcome::Skipped),
            differences: 0,
        });
        self.not_ours.extend(not_ours);
        self.show(suite, Place::Direct, findings);
    }

    pub(super) fn port(&mut self, suite: Suite, port: Port, comparison: &Comparison) {
        self.rows.push(Row {
            suite,
            place: Place::Port(port),
            passed: comparison.passed,
            failed: comparison.findings.len(),
            failed_directly: comparison.failed_directly,
            skipped: comparison.skipped,
            differences: comparison.differences,
        });
        self.show(suite, Place::Port(port), &comparison.findings);
    }

    /// Findings are shown at once: the rest may take minutes.
    fn show(&mut self, suite: Suite, place: Place, findings: &[Finding]) {
        for Finding { test, what, text } in findings {
            eprintln!("\n{suite}, {place}: {test} {what}\n{text}");
        }
        self.findings += findings.len();
    }

    pub(super) fn could_not_run(&mut self, suite: Suite, error: &anyhow::Error) {
        eprintln!("\n{suite} could not run: {error:#}");
        self.could_not_run.push(suite);
    }

    pub(super) fn findings(&self) -> usize {
        self.findings
    }

    /// Suites that have not run to their end.
    pub(super) fn incomplete(&self) -> Vec<String> {
        self.could_not_run.iter().map(Suite::to_string).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut head = format!("{:<14} {:<11}", "driver", "where");
        let columns = ["passed", "failed", "as PostgreSQL", "skipped", "expected"];
        for column in columns {
            head.push_str(&format!("  {column}"));
        }
        writeln!(f, "{head}")?;
        for row in &self.rows {
            write!(f, "{:<14} {:<11}", row.suite, row.place)?;
            let counts =
                [row.passed, row.failed, row.failed_directly, row.skipped, row.differences];
            for (column, count) in columns.iter().zip(counts) {
                write!(f, "  {count:>width$}", width = column.len())?;
            }
            writeln!(f)?;
        }
        for (suite, test) in &self.not_ours {
            writeln!(f, "\n{suite}: {test} fails at PostgreSQL itself")?;
        }
        write!(f, "\nexpected: fails as drivers/NAME/expected.toml says")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_a_row_whose_numbers_stand_below_their_names() {
        let mut report = Report::default();
        let outcomes = [("a", Outcome::Passed), ("b", Outcome::Failed(String::new()))];
        let outcomes = outcomes.map(|(test, outcome)| (test.to_owned(), outcome));
        report.direct(Suite::Asyncpg, &Outcomes::from(outcomes), &[]);
        let comparison = Comparison { passed: 412, differences: 3, ..Comparison::default() };
        report.port(Suite::Asyncpg, Port::Transaction, &comparison);
        let text = report.to_string();
        let lines: Vec<&str> = text.lines().take(3).collect();
        assert_eq!(
            lines,
            [
                "driver         where        passed  failed  as PostgreSQL  skipped  expected",
                "asyncpg        direct            1       0              1        0         0",
                "asyncpg        transaction     412       0              0        0         3",
            ]
        );
        assert_eq!(report.findings(), 0);
    }
}
