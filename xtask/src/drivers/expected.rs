//! `drivers/NAME/expected.toml`: what differs from PostgreSQL and why, written by people.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use crate::drivers::place::Port;
use crate::shell::root;

/// How often each test fails at a port; the reason is for people.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Expected(BTreeMap<(Port, String), Often>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Often {
    Always,
    /// It is a matter of time.
    Sometimes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    difference: Vec<Difference>,
}

/// Tests that fail for one reason.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    ports: Vec<Port>,
    tests: Vec<String>,
    #[serde(default)]
    sometimes: bool,
    reason: String,
}

impl Expected {
    /// Of a driver; nothing is expected of one that has no such file.
    pub(super) fn read(driver: &str) -> Result<Self> {
        let name = format!("drivers/{driver}/expected.toml");
        let path = root().join(&name);
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = fs::read_to_string(&path).with_context(|| name.clone())?;
        Self::parse(&text).context(name)
    }

    fn parse(text: &str) -> Result<Self> {
        let file: File = toml::from_str(text)?;
        let mut expected = BTreeMap::new();
        for Difference { ports, tests, sometimes, reason } in file.difference {
            let often = if sometimes { Often::Sometimes } else { Often::Always };
            ensure!(reason.ends_with('.'), "the reason is not a sentence: {reason}");
            ensure!(!ports.is_empty() && !tests.is_empty(), "of no test: {reason}");
            for port in ports {
                for test in &tests {
                    let earlier = expected.insert((port, test.clone()), often);
                    if earlier.is_some() {
                        bail!("{test} is listed twice for the {} port", port.as_str());
                    }
                }
            }
        }
        Ok(Self(expected))
    }

    /// Forgets the other tests.
    pub(super) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|(_, test), _| keep(test));
    }

    #[cfg(test)]
    pub(super) fn of(port: Port, test: &str, often: Often) -> Self {
        Self(BTreeMap::from([((port, test.to_owned()), often)]))
    }

    pub(super) fn often(&self, port: Port, test: &str) -> Option<Often> {
        self.0.get(&(port, test.to_owned())).copied()
    }

    /// The tests that are listed for a port.
    pub(super) fn tests(&self, port: Port) -> impl Iterator<Item = &str> {
        self.0.keys().filter(move |(of, _)| *of == port).map(|(_, test)| test.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_of_each_of_its_tests_at_each_of_its_ports() {
        let text = "[[difference]]\nports = [\"transaction\"]\ntests = [\"a\", \"b\"]\n\
            reason = \"It takes a session.\"\n[[difference]]\nports = [\"session\"]\n\
            tests = [\"a\"]\nsometimes = true\nreason = \"It takes time.\"\n";
        let expected = Expected::parse(text).unwrap();
        assert_eq!(expected.often(Port::Transaction, "b"), Some(Often::Always));
        assert_eq!(expected.often(Port::Session, "b"), None);
        assert_eq!(expected.often(Port::Session, "a"), Some(Often::Sometimes));
        assert_eq!(expected.tests(Port::Transaction).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(expected.tests(Port::Session).count(), 1);
    }

    #[test]
    fn what_is_no_reason_or_has_two_is_refused() {
        let of = |rest: &str| Expected::parse(&format!("[[difference]]\n{rest}"));
        assert!(of("ports = [\"session\"]\ntests = [\"a\"]\nreason = \"because\"").is_err());
        assert!(of("ports = []\ntests = [\"a\"]\nreason = \"Because.\"").is_err());
        assert!(of("ports = [\"session\"]\ntests = [\"a\", \"a\"]\nreason = \"Twice.\"").is_err());
        assert!(of("ports = [\"both\"]\ntests = [\"a\"]\nreason = \"Which?\"").is_err());
    }

    #[test]
    fn an_empty_list_is_one() {
        assert_eq!(Expected::parse("").unwrap(), Expected::default());
    }
}
