//! Errors of others that a pooler's users meet: their texts, and what is to be said of them.
//!
//! Each text has its source, with the version in which it was read. Numbers that a text brings go
//! into the answer: `{size}` in a sentence is what the gap of that name held, `{size|5}` has a
//! word for texts that lack it.

pub mod postgres;
pub mod poolers;
pub mod drivers;
pub mod pools;

use serde::Serialize;
use tidegate_wire::catalogue::pages::Sign;

use super::template::Values;

/// Who speaks, from PostgreSQL outwards: what lies deeper is the cause of what is said above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// PostgreSQL itself.
    Postgres,
    /// Another pooler, between application and PostgreSQL.
    Pooler,
    /// Tidegate.
    Gate,
    /// The driver, in the application's process.
    Driver,
    /// The pool in the application's process.
    ApplicationPool,
}

impl Layer {
    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Pooler => "a pooler in front of PostgreSQL",
            Self::Gate => "the gate",
            Self::Driver => "the driver, in the application",
            Self::ApplicationPool => "the application's own pool",
        }
    }
}

/// Whether a text names its cause, or only what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It names the cause.
    Cause,
    /// Something else has happened before; the text does not say what.
    Symptom,
}

/// A text that is recognised.
#[derive(Debug, Clone, Copy)]
pub struct Text {
    /// The template; see [`super::template`].
    pub template: &'static str,
    /// Where the text is from, with the version.
    pub source: &'static str,
}

/// One error of somebody else.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// A stable name.
    pub id: &'static str,
    /// What is wrong, in a few words.
    pub title: &'static str,
    /// Who speaks.
    pub layer: Layer,
    /// Which of them.
    pub said_by: &'static str,
    /// Whether it names its cause.
    pub weight: Weight,
    /// The SQLSTATE that it comes with; empty when there is none.
    pub sqlstate: &'static str,
    /// How it is worded.
    pub texts: &'static [Text],
    /// What follows from the numbers, before they are filled in.
    pub reckon: Option<fn(&mut Values)>,
    /// What it means.
    pub means: &'static str,
    /// Where it shows.
    pub see: &'static [Sign],
    /// What to do now.
    pub now: &'static [&'static str],
    /// What to change.
    pub change: &'static [&'static str],
}

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Known> {
    postgres::KNOWN.iter().chain(poolers::KNOWN).chain(drivers::KNOWN).chain(pools::KNOWN)
}

const fn text(template: &'static str, source: &'static str) -> Text {
    Text { template, source }
}
