//! SQLSTATE: the five characters by which programs tell errors apart.
//!
//! The constants are those that Tidegate sends, and those that it acts on when PostgreSQL sends
//! them (PostgreSQL docs, appendix "PostgreSQL Error Codes").

use std::fmt;

/// Five ASCII digits or upper-case letters, of which the first two are the class.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SqlState([u8; 5]);

impl SqlState {
    /// `None` unless `bytes` are five ASCII digits or upper-case letters.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let code: [u8; 5] = bytes.try_into().ok()?;
        code.iter().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()).then_some(Self(code))
    }

    /// The five characters.
    pub const fn as_str(&self) -> &str {
        match str::from_utf8(&self.0) {
            Ok(text) => text,
            // Every constructor admits ASCII only.
            Err(_) => "XX000",
        }
    }

    /// The first two characters: the kind of error.
    pub const fn class(self) -> [u8; 2] {
        let [a, b, _, _, _] = self.0;
        [a, b]
    }
}

/// One constant per code, and the list of all for tests and reference pages.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        impl SqlState {
            $($(#[$doc])* pub const $name: Self = Self(*$code);)*

            /// Every code that has a name here, in ascending order.
            pub const NAMED: &[(Self, &'static str)] = &[$((Self::$name, stringify!($name)),)*];
        }
    };
}

codes! {
    /// `00000`
    SUCCESSFUL_COMPLETION = b"00000";
    /// `01000`: a warning.
    WARNING = b"01000";
    /// `08000`
    CONNECTION_EXCEPTION = b"08000";
    /// `08001`: a connection could not be made.
    CANNOT_CONNECT = b"08001";
    /// `08003`
    CONNECTION_DOES_NOT_EXIST = b"08003";
    /// `08004`: the server refused the connection.
    CONNECTION_REJECTED = b"08004";
    /// `08006`: a connection was lost.
    CONNECTION_FAILURE = b"08006";
    /// `08007`: nobody knows whether a transaction was committed.
    TRANSACTION_RESOLUTION_UNKNOWN = b"08007";
    /// `08P01`
    PROTOCOL_VIOLATION = b"08P01";
    /// `0A000`
    FEATURE_NOT_SUPPORTED = b"0A000";
    /// `22021`
    CHARACTER_NOT_IN_REPERTOIRE = b"22021";
    /// `22023`
    INVALID_PARAMETER_VALUE = b"22023";
    /// `25001`
    ACTIVE_SQL_TRANSACTION = b"25001";
    /// `25006`
    READ_ONLY_SQL_TRANSACTION = b"25006";
    /// `25P02`
    IN_FAILED_SQL_TRANSACTION = b"25P02";
    /// `25P03`
    IDLE_IN_TRANSACTION_SESSION_TIMEOUT = b"25P03";
    /// `25P04`
    TRANSACTION_TIMEOUT = b"25P04";
    /// `26000`: no such prepared statement.
    INVALID_SQL_STATEMENT_NAME = b"26000";
    /// `28000`
    INVALID_AUTHORIZATION_SPECIFICATION = b"28000";
    /// `28P01`
    INVALID_PASSWORD = b"28P01";
    /// `34000`: no such portal.
    INVALID_CURSOR_NAME = b"34000";
    /// `3D000`: no such database.
    INVALID_CATALOG_NAME = b"3D000";
    /// `40001`
    SERIALIZATION_FAILURE = b"40001";
    /// `40P01`
    DEADLOCK_DETECTED = b"40P01";
    /// `42501`
    INSUFFICIENT_PRIVILEGE = b"42501";
    /// `42601`
    SYNTAX_ERROR = b"42601";
    /// `42704`: no such role, setting, or type.
    UNDEFINED_OBJECT = b"42704";
    /// `42P05`
    DUPLICATE_PREPARED_STATEMENT = b"42P05";
    /// `53000`
    INSUFFICIENT_RESOURCES = b"53000";
    /// `53200`
    OUT_OF_MEMORY = b"53200";
    /// `53300`
    TOO_MANY_CONNECTIONS = b"53300";
    /// `53400`
    CONFIGURATION_LIMIT_EXCEEDED = b"53400";
    /// `54000`
    PROGRAM_LIMIT_EXCEEDED = b"54000";
    /// `55000`
    OBJECT_NOT_IN_PREREQUISITE_STATE = b"55000";
    /// `55006`
    OBJECT_IN_USE = b"55006";
    /// `55P03`
    LOCK_NOT_AVAILABLE = b"55P03";
    /// `57014`
    QUERY_CANCELED = b"57014";
    /// `57P01`
    ADMIN_SHUTDOWN = b"57P01";
    /// `57P02`
    CRASH_SHUTDOWN = b"57P02";
    /// `57P03`: starting up, shutting down, or in recovery.
    CANNOT_CONNECT_NOW = b"57P03";
    /// `57P04`
    DATABASE_DROPPED = b"57P04";
    /// `57P05`
    IDLE_SESSION_TIMEOUT = b"57P05";
    /// `58000`
    SYSTEM_ERROR = b"58000";
    /// `XX000`
    INTERNAL_ERROR = b"XX000";
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqlState({})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_codes_are_well_formed_ascending_and_unique() {
        for (code, name) in SqlState::NAMED {
            assert_eq!(SqlState::from_bytes(code.as_str().as_bytes()), Some(*code), "{name}");
        }
        assert!(SqlState::NAMED.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn what_is_no_sqlstate_is_refused() {
        for bytes in [&b""[..], b"5330", b"533000", b"53 00", b"57p01", b"5330\xff"] {
            assert_eq!(SqlState::from_bytes(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn the_class_is_the_first_two_characters() {
        assert_eq!(SqlState::ADMIN_SHUTDOWN.class(), *b"57");
        assert_eq!(format!("{}", SqlState::TOO_MANY_CONNECTIONS), "53300");
    }
}
