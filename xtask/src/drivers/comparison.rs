//! What a port did beside what PostgreSQL did, and beside what is expected of it.

use crate::drivers::expected::{Expected, Often};
use crate::drivers::outcome::{Outcome, Outcomes};
use crate::drivers::place::Port;

/// Of one port.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    pub(super) passed: usize,
    /// By the suite's own will, as at PostgreSQL itself.
    pub(super) skipped: usize,
    /// At PostgreSQL itself as well.
    pub(super) failed_directly: usize,
    /// As the list says.
    pub(super) differences: usize,
    pub(super) findings: Vec<Finding>,
}

/// Something that should not be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) test: String,
    pub(super) what: &'static str,
    /// What the test said.
    pub(super) text: String,
}

impl Comparison {
    pub(super) fn of(port: Port, direct: &Outcomes, seen: &Outcomes, expected: &Expected) -> Self {
        use Outcome::{Failed, Passed, Skipped};
        let mut comparison = Self::default();
        let mut find = |test: &str, what, text: &str| {
            let (test, text) = (test.to_owned(), text.to_owned());
            comparison.findings.push(Finding { test, what, text });
        };
        for (test, direct) in direct {
            match (direct, seen.get(test), expected.often(port, test)) {
                (Failed(_), _, None) => comparison.failed_directly += 1,
                (Skipped, Some(Skipped), None) => comparison.skipped += 1,
                (Failed(_) | Skipped, _, Some(_)) => find(test, POINTLESS, ""),
                (_, Some(Failed(_)), Some(_)) => comparison.differences += 1,
                (_, Some(Failed(text)), None) => find(test, FAILED, text),
                (_, Some(Passed), Some(Often::Always)) => find(test, NO_LONGER, ""),
                (_, Some(Passed), None | Some(Often::Sometimes)) => comparison.passed += 1,
                (_, Some(Skipped), _) => find(test, SKIPPED, ""),
                (_, None, _) => find(test, MISSING, ""),
            }
        }
        // What prepares a class is told of only where it fails.
        for (test, outcome) in seen.iter().filter(|(test, _)| !direct.contains_key(*test)) {
            match (outcome, expected.often(port, test)) {
                (Failed(_), Some(_)) => comparison.differences += 1,
                (Failed(text), None) => find(test, FAILED, text),
                (Passed | Skipped, _) => find(test, NEW, ""),
            }
        }
        let is_known = |test: &str| direct.contains_key(test) || seen.contains_key(test);
        for test in expected.tests(port).filter(|test| !is_known(test)) {
            find(test, UNKNOWN, "");
        }
        comparison
    }
}

/// What has failed at a port and passed at PostgreSQL itself: worth another look there.
pub(super) fn suspects(
    port: Port,
    direct: &Outcomes,
    seen: &Outcomes,
    expected: &Expected,
) -> Vec<String> {
    let failed = seen.iter().filter(|(test, outcome)| {
        matches!(outcome, Outcome::Failed(_))
            && direct.get(*test) == Some(&Outcome::Passed)
            && expected.often(port, test).is_none()
    });
    failed.map(|(test, _)| test.clone()).collect()
}

const FAILED: &str = "failed, and passed at PostgreSQL itself";
const MISSING: &str = "was not run, and was at PostgreSQL itself";
const NEW: &str = "was run, and was not at PostgreSQL itself";
const NO_LONGER: &str = "passed: its expected difference is no longer needed";
const POINTLESS: &str = "did not pass at PostgreSQL itself: its expected difference is not needed";
const SKIPPED: &str = "was skipped, and was not at PostgreSQL itself";
const UNKNOWN: &str = "is expected to differ, but there is no such test";

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(of: &[(&str, Outcome)]) -> Outcomes {
        of.iter().map(|(test, outcome)| ((*test).to_owned(), outcome.clone())).collect()
    }

    fn failed() -> Outcome {
        Outcome::Failed("why".to_owned())
    }

    fn expecting(test: &str) -> Expected {
        Expected::of(Port::Session, test, Often::Always)
    }

    fn found(direct: Outcome, seen: Outcome, expected: &Expected) -> Vec<&'static str> {
        let (direct, seen) = (outcomes(&[("a", direct)]), outcomes(&[("a", seen)]));
        let comparison = Comparison::of(Port::Session, &direct, &seen, expected);
        comparison.findings.iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_failure_counts_only_where_postgresql_passes_and_nobody_expects_it() {
        let nothing = Expected::default();
        assert_eq!(found(Outcome::Passed, failed(), &nothing), [FAILED]);
        assert!(found(failed(), failed(), &nothing).is_empty());
        assert!(found(failed(), Outcome::Passed, &nothing).is_empty());
        assert!(found(Outcome::Passed, failed(), &expecting("a")).is_empty());
        assert_eq!(found(Outcome::Passed, failed(), &expecting("b")), [FAILED, UNKNOWN]);
    }

    #[test]
    fn an_expectation_that_is_not_needed_is_found() {
        assert_eq!(found(Outcome::Passed, Outcome::Passed, &expecting("a")), [NO_LONGER]);
        assert_eq!(found(failed(), failed(), &expecting("a")), [POINTLESS]);
        assert_eq!(found(Outcome::Skipped, Outcome::Skipped, &expecting("a")), [POINTLESS]);
    }

    #[test]
    fn what_differs_sometimes_may_pass() {
        let expected = Expected::of(Port::Session, "a", Often::Sometimes);
        assert!(found(Outcome::Passed, Outcome::Passed, &expected).is_empty());
        assert!(found(Outcome::Passed, failed(), &expected).is_empty());
    }

    #[test]
    fn only_what_fails_at_the_port_alone_is_looked_at_again() {
        let direct = outcomes(&[("a", Outcome::Passed), ("b", failed()), ("c", Outcome::Passed)]);
        let seen = outcomes(&[("a", failed()), ("b", failed()), ("c", Outcome::Passed)]);
        let of = |expected: &Expected| suspects(Port::Session, &direct, &seen, expected);
        assert_eq!(of(&Expected::default()), ["a"]);
        assert!(of(&expecting("a")).is_empty());
    }

    #[test]
    fn a_test_that_vanishes_is_found() {
        let direct = outcomes(&[("a", Outcome::Passed), ("b", Outcome::Passed)]);
        let seen = outcomes(&[("a", Outcome::Skipped), ("setUpClass", failed())]);
        let comparison = Comparison::of(Port::Session, &direct, &seen, &Expected::default());
        let found = comparison.findings.iter().map(|finding| (&*finding.test, finding.what));
        let expected = [("a", SKIPPED), ("b", MISSING), ("setUpClass", FAILED)];
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn each_test_is_counted_once() {
        let all = [("a", Outcome::Passed), ("b", failed()), ("c", Outcome::Skipped)];
        let direct = outcomes(&[&all[..], &[("d", Outcome::Passed)]].concat());
        let seen = outcomes(&[&all[..], &[("d", failed())]].concat());
        let comparison = Comparison::of(Port::Session, &direct, &seen, &expecting("d"));
        let expected = Comparison {
            passed: 1,
            skipped: 1,
            failed_directly: 1,
            differences: 1,
            findings: Vec::new(),
        };
        assert_eq!(comparison, expected);
    }
}
