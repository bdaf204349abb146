//! Sizes as people write them for PostgreSQL: `512kB`, `64MB`, `1GB`; each unit is 1024 of the one
//! before.

/// Why a text is not a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Digits only: bytes to one reader, kilobytes to another.
    #[error("a number without a unit")]
    NoUnit,
    /// Anything else.
    #[error("not a size")]
    Malformed,
    /// More bytes than 64 bits hold.
    #[error("too large to count")]
    TooLarge,
}

/// Units in bytes, largest first.
const UNITS: [(&str, u64); 4] =
    [("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)];

/// Reads a size: a whole number with a unit. Blanks may stand between them, and case is not looked at.
///
/// # Errors
/// See [`SizeError`].
pub fn parse_size(text: &str) -> Result<u64, SizeError> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    if digits.is_empty() {
        return Err(SizeError::Malformed);
    }
    if unit.is_empty() {
        return Err(SizeError::NoUnit);
    }
    let (_, bytes) = UNITS
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit.trim_start()))
        .ok_or(SizeError::Malformed)?;
    let number = digits.parse::<u64>().ok();
    number.and_then(|number| number.checked_mul(bytes)).ok_or(SizeError::TooLarge)
}

/// Writes a size so that [`parse_size`] reads it back; what is below a kilobyte is dropped.
pub fn format_size(bytes: u64) -> String {
    let (unit, size) = UNITS
        .into_iter()
        .find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size))
        .unwrap_or(("kB", 1 << 10));
    format!("{}{unit}", bytes / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_postgresql_reads_them() {
        let cases = [
            ("64MB", Ok(64 << 20)),
            ("1GB", Ok(1 << 30)),
            (" 512 kb ", Ok(512 << 10)),
            ("2tb", Ok(2 << 40)),
            ("64", Err(SizeError::NoUnit)),
            ("MB", Err(SizeError::Malformed)),
            ("-1MB", Err(SizeError::Malformed)),
            ("64M", Err(SizeError::Malformed)),
            ("1.5GB", Err(SizeError::Malformed)),
            ("99999999999999999999MB", Err(SizeError::TooLarge)),
            ("17592186044416TB", Err(SizeError::TooLarge)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_size(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for bytes in [0, 1 << 10, 1 << 20, 3 << 29, 5 << 30, 7 << 40, (1 << 30) + (1 << 10)] {
            assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        }
        assert_eq!((format_size(3 << 29), format_size(1 << 40)), ("1536MB".into(), "1TB".into()));
    }
}
