//! Durations as people write them: `30s`, `500ms`, `1h30m`.

use std::time::Duration;

/// Why a text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Digits only: seconds to one reader, milliseconds to another.
    #[error("a number without a unit")]
    NoUnit,
    /// Anything else.
    #[error("not a duration")]
    Malformed,
    /// More milliseconds than 64 bits hold.
    #[error("too long to count")]
    TooLong,
}

/// Units in milliseconds, longest first. A day is 24 hours.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a duration: numbers with units, longest unit first (`1h30m`), or `0`.
///
/// # Errors
/// See [`DurationError`].
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if !rest.is_empty() && rest.chars().all(|c| c.is_ascii_digit()) {
        return Err(DurationError::NoUnit);
    }
    let mut total: u64 = 0;
    let mut unit_before = u64::MAX;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(DurationError::Malformed)?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let (_, unit) = UNITS
            .into_iter()
            .find(|(name, size)| *name == unit && *size < unit_before)
            .ok_or(DurationError::Malformed)?;
        if number.is_empty() {
            return Err(DurationError::Malformed);
        }
        total = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(unit))
            .and_then(|part| total.checked_add(part))
            .ok_or(DurationError::TooLong)?;
        if after.is_empty() {
            return Ok(Duration::from_millis(total));
        }
        (rest, unit_before) = (after, unit);
    }
}

/// Writes a duration so that [`parse_duration`] reads it back; what is below a millisecond is
/// dropped.
pub fn format_duration(duration: Duration) -> String {
    let mut rest = duration.as_millis();
    let mut text = String::new();
    for (unit, size) in UNITS {
        let count = rest / u128::from(size);
        rest %= u128::from(size);
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, ms) in [
            ("0s", 0),
            ("500ms", 500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1d", 86_400_000),
            ("1d2h3m4s5ms", 93_784_005),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
            assert_eq!(format_duration(Duration::from_millis(ms)), text);
        }
        assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
        assert_eq!(parse_duration(" 90s "), Ok(Duration::from_secs(90)));
        assert_eq!(format_duration(Duration::from_secs(90)), "1m30s");
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        use DurationError::*;
        for (text, error) in [
            ("30", NoUnit),
            ("00", NoUnit),
            ("", Malformed),
            ("s", Malformed),
            ("1.5s", Malformed),
            ("30 s", Malformed),
            ("-1s", Malformed),
            ("30m1h", Malformed),
            ("1s1s", Malformed),
            ("1h30", Malformed),
            ("1w", Malformed),
            ("5é", Malformed),
            ("99999999999999999999s", TooLong),
            ("18446744073709551615d", TooLong),
        ] {
            assert_eq!(parse_duration(text), Err(error), "{text}");
        }
    }
}
