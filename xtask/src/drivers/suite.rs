//! The suites, and what each needs.

use std::fmt;

use anyhow::Result;

use crate::drivers::outcome::Outcomes;
use crate::drivers::stage::{Setting, Stage};
use crate::drivers::{asyncpg, cases};
use crate::install::Need;

/// By the driver that it tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Suite {
    Asyncpg,
    Psycopg,
}

/// Whose tests they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Cases of our own: they take seconds, and each must pass at PostgreSQL itself.
    Cases,
    /// The driver's own suite, from its source package: it takes minutes, and some of it wants
    /// another PostgreSQL than ours.
    Own,
}

impl Suite {
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Asyncpg => Kind::Own,
            Self::Psycopg => Kind::Cases,
        }
    }

    pub(super) fn needs(self) -> &'static [Need] {
        match self {
            Self::Asyncpg | Self::Psycopg => &[Need::PythonVenv],
        }
    }

    pub(super) fn setting(self) -> Setting {
        match self {
            Self::Asyncpg => asyncpg::setting(),
            Self::Psycopg => cases::setting(),
        }
    }

    /// Runs all tests whose names contain one of `words`, or simply all.
    pub(super) fn run(self, stage: &Stage, words: &[String]) -> Result<Outcomes> {
        match self {
            Self::Asyncpg => asyncpg::run(stage, words),
            Self::Psycopg => cases::python("psycopg", stage, words),
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Asyncpg => "asyncpg",
            Self::Psycopg => "psycopg",
        })
    }
}
