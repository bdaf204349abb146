//! Pins: why a client on the transaction port keeps its server past the transaction.

use std::fmt;

/// What the client left in the server's session that the next client must not see, or that it
/// will itself look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PinReason {
    /// A session-level advisory lock is held.
    AdvisoryLock,
    /// A cursor `WITH HOLD` is open.
    Cursor,
    /// It listens, where that could not be taken over.
    Listen,
    /// `LOAD`: a library stays loaded for the session.
    Load,
    /// A prepared statement of SQL's, or one that is not shared.
    Prepared,
    /// The client has asked for it: `SET tidegate.pin = on`.
    Requested,
    /// `SET ROLE` or `SET SESSION AUTHORIZATION`.
    Role,
    /// It has asked for the last value of a sequence, which only its session knows.
    Sequence,
    /// A setting whose name or value can't be known.
    Set,
    /// A temporary table, view, function, or type.
    TempTable,
}

impl PinReason {
    /// All reasons, for metrics that start at zero.
    pub const ALL: [Self; 10] = [
        Self::AdvisoryLock,
        Self::Cursor,
        Self::Listen,
        Self::Load,
        Self::Prepared,
        Self::Requested,
        Self::Role,
        Self::Sequence,
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
            Self::Requested => "requested",
            Self::Role => "role",
            Self::Sequence => "sequence",
            Self::Set => "set",
            Self::TempTable => "temp_table",
        }
    }

    /// What the client can do to be without its server again.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::AdvisoryLock => "unlock it, or take pg_advisory_xact_lock",
            Self::Cursor => "close the cursor",
            Self::Listen => "listen outside of a transaction, or UNLISTEN",
            Self::Load => "disconnect",
            Self::Prepared => "deallocate the statement",
            Self::Requested => "set tidegate.pin to off",
            Self::Role => "reset the role",
            Self::Sequence => {
                "ask in the transaction that used the sequence, use RETURNING, or DISCARD ALL"
            }
            Self::Set => "RESET ALL, or disconnect",
            Self::TempTable => "drop it, or create it with ON COMMIT DROP",
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
            Self::Requested => 5,
            Self::Role => 6,
            Self::Sequence => 7,
            Self::Set => 8,
            Self::TempTable => 9,
        }
    }
}

impl fmt::Display for PinReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// PostgreSQL can't be asked for these: they hold until the client leaves, or resets everything.
pub(crate) const UNASKABLE: PinReasons =
    PinReasons::NONE.with(PinReason::Load).with(PinReason::Sequence).with(PinReason::Set);

/// Several reasons, or none.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct PinReasons(u16);

impl PinReasons {
    /// None.
    pub const NONE: Self = Self(0);

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// With this one too.
    #[must_use]
    pub const fn with(self, reason: PinReason) -> Self {
        Self(self.0 | 1 << reason.index())
    }

    /// Those of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that `other` has not.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Adds one.
    pub fn add(&mut self, reason: PinReason) {
        *self = self.with(reason);
    }

    /// Whether this is one of them.
    pub const fn has(self, reason: PinReason) -> bool {
        self.0 & (1 << reason.index()) != 0
    }

    /// Each of them, in the order of [`PinReason::ALL`].
    pub fn iter(self) -> impl Iterator<Item = PinReason> {
        PinReason::ALL.into_iter().filter(move |reason| self.has(*reason))
    }
}

impl FromIterator<PinReason> for PinReasons {
    fn from_iter<T: IntoIterator<Item = PinReason>>(reasons: T) -> Self {
        reasons.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for PinReasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_place_of_its_own() {
        for (place, reason) in PinReason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), place);
        }
        let some = PinReasons::NONE.with(PinReason::Set).with(PinReason::Listen);
        assert_eq!(some.iter().collect::<Vec<_>>(), [PinReason::Listen, PinReason::Set]);
        assert!(some.without(some).is_empty());
    }
}
