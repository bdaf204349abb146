//! Where a driver connects.

use std::fmt;

use serde::Deserialize;

/// In the order in which they are run: what fails at PostgreSQL itself is not asked of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Direct,
    Port(Port),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Port {
    Session,
    Transaction,
}

impl Port {
    pub(super) const ALL: [Self; 2] = [Self::Session, Self::Transaction];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Transaction => "transaction",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Direct => "direct",
            Self::Port(port) => port.as_str(),
        })
    }
}
