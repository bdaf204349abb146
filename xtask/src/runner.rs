//! The test runner: cargo-nextest, or `cargo test` where that cannot be had.

use std::process::Command;

use anyhow::Result;

use crate::shell::{cargo, run, succeeds};
use crate::workspace;

/// Which tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Without the binaries whose names start with `full_`.
    Usual,
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runner {
    Nextest,
    CargoTest,
}

impl Runner {
    /// What is installed.
    pub(crate) fn find() -> Self {
        let nextest = succeeds(&mut cargo(["nextest", "--version"]));
        if nextest { Self::Nextest } else { Self::CargoTest }
    }

    /// As [`Runner::find`], after an attempt to install nextest.
    pub(crate) fn install() -> Self {
        if Self::find() == Self::CargoTest
            && let Err(error) = run(&mut cargo(["install", "--locked", "cargo-nextest"]))
        {
            eprintln!("{error:#}; going on with `cargo test`");
        }
        Self::find()
    }

    /// The tests inside crates (unit tests), and the rest of the tests of `pure` crates.
    pub(crate) fn fast(self, pure: &[String]) -> Vec<Command> {
        let packages = || pure.iter().flat_map(|name| ["-p", name.as_str()]);
        match self {
            Self::Nextest => {
                let inside = cargo(["nextest", "run", "--workspace", "--lib", "--bins"]);
                let mut scripts = cargo(["nextest", "run", "--no-tests=pass", "-E", "kind(test)"]);
                scripts.args(packages());
                vec![inside, scripts]
            }
            Self::CargoTest => {
                let inside = cargo(["test", "--quiet", "--workspace", "--lib", "--bins"]);
                let mut scripts = cargo(["test", "--quiet", "--tests"]);
                scripts.args(packages());
                vec![inside, scripts]
            }
        }
    }

    /// One test binary; with all that its tests print if `show`.
    pub(crate) fn one_target(self, name: &str, show: bool) -> Command {
        let mut command = match self {
            Self::Nextest => cargo(["nextest", "run", "--profile", "ci", "--test", name]),
            Self::CargoTest => cargo(["test", "--no-fail-fast", "--test", name]),
        };
        match self {
            _ if !show => {}
            Self::Nextest => {
                command.arg("--no-capture");
            }
            Self::CargoTest => {
                command.args(["--", "--nocapture", "--test-threads=1"]);
            }
        }
        command
    }

    /// All tests but those in documentation.
    pub(crate) fn all(self, extent: Extent, filters: &[String]) -> Result<Command> {
        let mut command = match self {
            Self::Nextest => {
                let mut command = cargo(["nextest", "run", "--workspace", "--profile", "ci"]);
                if extent == Extent::Full {
                    command.arg("--ignore-default-filter");
                }
                command
            }
            Self::CargoTest => {
                let mut command = cargo(["test", "--workspace", "--no-fail-fast"]);
                command.args(["--lib", "--bins"]);
                for name in test_binaries(extent)? {
                    command.args(["--test", &name]);
                }
                command
            }
        };
        command.args(filters);
        Ok(command)
    }
}

/// `cargo test` knows no default filter, so the binaries are named one by one.
fn test_binaries(extent: Extent) -> Result<Vec<String>> {
    let packages = workspace::read()?.packages;
    let targets = packages.into_iter().flat_map(|package| package.targets);
    let tests = targets.filter(|target| target.kind.iter().any(|kind| kind == "test"));
    let names = tests.map(|target| target.name);
    Ok(names.filter(|name| extent == Extent::Full || !name.starts_with("full_")).collect())
}
