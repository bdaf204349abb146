//! What becomes of tests, by their names.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// Of a single test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    /// And what it said.
    Failed(String),
    Skipped,
}

pub(super) type Outcomes = BTreeMap<String, Outcome>;

/// A line of what runs the tests of a driver.
#[derive(Deserialize)]
struct Line {
    test: String,
    outcome: String,
    #[serde(default)]
    text: String,
}

/// Reads a line of JSON per test. A test that is told of twice has failed if it has once.
pub(super) fn from_lines(text: &str) -> Result<Outcomes> {
    let mut outcomes = Outcomes::new();
    for line in text.lines() {
        let told: Line = serde_json::from_str(line).with_context(|| format!("not ours: {line}"))?;
        let outcome = match told.outcome.as_str() {
            "passed" => Outcome::Passed,
            "skipped" => Outcome::Skipped,
            _ => Outcome::Failed(told.text),
        };
        let is_known_to_fail = matches!(outcomes.get(&told.test), Some(Outcome::Failed(_)));
        if !is_known_to_fail {
            outcomes.insert(told.test, outcome);
        }
    }
    ensure!(!outcomes.is_empty(), "no test was run");
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_test_and_a_failure_stays_one() {
        let text = r#"{"test": "a", "outcome": "passed"}
{"test": "b", "outcome": "failed", "text": "why"}
{"test": "b", "outcome": "passed", "text": ""}
{"test": "c", "outcome": "skipped", "text": "no time"}
"#;
        let outcomes = from_lines(text).unwrap();
        let expected = [
            ("a", Outcome::Passed),
            ("b", Outcome::Failed("why".to_owned())),
            ("c", Outcome::Skipped),
        ];
        let expected = expected.map(|(name, outcome)| (name.to_owned(), outcome));
        assert_eq!(outcomes, Outcomes::from(expected));
    }

    #[test]
    fn nothing_at_all_is_no_success() {
        assert!(from_lines("").is_err());
        assert!(from_lines("Segmentation fault\n").is_err());
    }
}
