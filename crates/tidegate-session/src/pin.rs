//! Pins: why a client on the transaction port keeps its server past the transaction.

use std::fmt;

/// What the client left in the server's session that the next client must not see, or that it
/// will itself look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PinReason {
    /// A session-level advisory lock may be held.
    AdvisoryLock,
    /// A cursor `WITH HOLD`.
    Cursor,
    /// `LISTEN`.
    Listen,
    /// `LOAD`: a library stays loaded for the session.
    Load,
    /// A prepared statement with a name, of the protocol's or SQL's.
    Prepared,
    /// `SET`, `set_config`, or a change of role.
    Set,
    /// A temporary table.
    TempTable,
}

impl PinReason {
    /// All reasons, for metrics that start at zero.
    pub const ALL: [Self; 7] = [
        Self::AdvisoryLock,
        Self::Cursor,
        Self::Listen,
        Self::Load,
        Self::Prepared,
        Self::Set,
        Self::TempTable,
    ];

    /// The word for logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AdvisoryLock => "advisory_lock",
            Self::Cursor => "cursor",
            Self::Listen => "listen",
            Self::Load => "load",
            Self::Prepared => "prepared",
            Self::Set => "set",
            Self::TempTable => "temp_table",
        }
    }

    /// A place in a table of all reasons.
    pub const fn index(self) -> usize {
        match self {
            Self::AdvisoryLock => 0,
            Self::Cursor => 1,
            Self::Listen => 2,
            Self::Load => 3,
            Self::Prepared => 4,
            Self::Set => 5,
            Self::TempTable => 6,
        }
    }
}

impl fmt::Display for PinReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
