//! The suites, and what each needs.

use std::fmt;

use anyhow::Result;
use clap::ValueEnum as _;

use crate::drivers::outcome::Outcomes;
use crate::drivers::stage::{Setting, Stage};
use crate::drivers::{asyncpg, cases, tokio_postgres};
use crate::install::Need;
use crate::{node, python};

/// By the driver that it tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Suite {
    Asyncpg,
    NodePostgres,
    Pgjdbc,
    Psycopg,
    Sqlalchemy,
    TokioPostgres,
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
            Self::Asyncpg | Self::TokioPostgres => Kind::Own,
            Self::NodePostgres | Self::Pgjdbc | Self::Psycopg | Self::Sqlalchemy => Kind::Cases,
        }
    }

    pub(super) fn needs(self) -> &'static [Need] {
        match self {
            Self::Asyncpg | Self::Psycopg | Self::Sqlalchemy => &[Need::PythonVenv],
            Self::NodePostgres => &[Need::Node],
            Self::Pgjdbc => &[Need::Pgjdbc],
            Self::TokioPostgres => &[Need::Iproute],
        }
    }

    /// Fetches and builds: all that needs a network.
    pub(super) fn prepare(self) -> Result<()> {
        match self {
            Self::Asyncpg => asyncpg::prepare(),
            Self::NodePostgres => node::ready().map(|_| ()),
            Self::Pgjdbc => Ok(()),
            Self::Psycopg | Self::Sqlalchemy => python::ready().map(|_| ()),
            Self::TokioPostgres => tokio_postgres::prepare(),
        }
    }

    pub(super) fn setting(self) -> Setting {
        match self {
            Self::Asyncpg => asyncpg::setting(),
            Self::NodePostgres | Self::Pgjdbc | Self::Psycopg | Self::Sqlalchemy => {
                cases::setting()
            }
            Self::TokioPostgres => tokio_postgres::setting(),
        }
    }

    /// Runs all tests whose names contain one of `words`, or simply all.
    pub(super) fn run(self, stage: &Stage, words: &[String]) -> Result<Outcomes> {
        match self {
            Self::Asyncpg => asyncpg::run(stage, words),
            Self::NodePostgres => cases::node("node-postgres", stage, words),
            Self::Pgjdbc => cases::java("pgjdbc", stage, words),
            Self::Psycopg => cases::python("psycopg", stage, words),
            Self::Sqlalchemy => cases::python("sqlalchemy", stage, words),
            Self::TokioPostgres => tokio_postgres::run(stage, words),
        }
    }
}

/// The name on the command line, and that of its folder in `drivers/`.
impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("no suite is hidden");
        f.pad(value.get_name())
    }
}
