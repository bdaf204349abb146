//! From when until when a certificate is valid (RFC 5280, section 4.1.2.5).

use std::fmt;

use super::{Der, SEQUENCE};

/// A second of the calendar, counted from 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

/// The time in which a certificate is to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Its first second.
    pub from: Moment,
    /// Its last second.
    pub until: Moment,
}

/// When the certificate is valid, in DER. None when it is no certificate.
pub fn validity(der: &[u8]) -> Option<Validity> {
    let mut certificate = Der::new(der).only(SEQUENCE)?;
    let mut signed = Der::new(certificate.take(SEQUENCE)?);
    if signed.is_next(VERSION) {
        signed.take(VERSION)?;
    }
    signed.take(INTEGER)?; // The serial number.
    signed.take(SEQUENCE)?; // The signature's algorithm.
    signed.take(SEQUENCE)?; // Who has signed.
    let mut validity = Der::new(signed.take(SEQUENCE)?);
    let from = moment(&mut validity)?;
    let until = moment(&mut validity)?;
    validity.rest.is_empty().then_some(Validity { from, until })
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`: the forms that the RFC allows of those that ASN.1 has.
fn moment(der: &mut Der<'_>) -> Option<Moment> {
    let (year, rest) = if der.is_next(UTC_TIME) {
        let (year, rest) = digits(der.take(UTC_TIME)?, 2)?;
        (if year < 50 { 2000 + year } else { 1900 + year }, rest)
    } else {
        digits(der.take(GENERALIZED_TIME)?, 4)?
    };
    let (month, rest) = digits(rest, 2)?;
    let (day, rest) = digits(rest, 2)?;
    let (hour, rest) = digits(rest, 2)?;
    let (minute, rest) = digits(rest, 2)?;
    let (second, rest) = digits(rest, 2)?;
    let is_possible = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60
        && rest == b"Z";
    let day = is_possible.then(|| days(year, month, day))?;
    Some(Moment(((day * 24 + hour) * 60 + minute) * 60 + second))
}

fn digits(bytes: &[u8], count: usize) -> Option<(i64, &[u8])> {
    let (digits, rest) = bytes.split_at_checked(count)?;
    let number = digits
        .iter()
        .try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')));
    Some((number?, rest))
}

/// Days from 1970-01-01 to a day of the Gregorian calendar. Years are counted from March, so that the
/// leap day is their last; an era is 400 of them, 146,097 days.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - TO_1970
}

/// Days from 0000-03-01 to 1970-01-01.
const TO_1970: i64 = 719_468;

/// The day, as in `2026-11-25`.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0.div_euclid(24 * 60 * 60) + TO_1970;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * from_march + 2) / 5 + 1;
        let month = (from_march + 2) % 12 + 1;
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]`, explicit.
const VERSION: u8 = 0xa0;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tag: u8, text: &str) -> Option<Moment> {
        let mut der = vec![tag, u8::try_from(text.len()).unwrap()];
        der.extend(text.as_bytes());
        moment(&mut Der::new(&der))
    }

    #[test]
    fn moments_are_read_in_both_forms() {
        // `date -u -d '2026-11-24 18:33:08' +%s`, and so on.
        let cases = [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "261124183308Z", Some(1_795_545_188)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (UTC_TIME, "500101000000Z", Some(-631_152_000)),
            (GENERALIZED_TIME, "20000229120000Z", Some(951_825_600)),
            (GENERALIZED_TIME, "21261031183308Z", Some(4_949_145_188)),
            (GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
            (UTC_TIME, "2611241833Z", None),
            (UTC_TIME, "261124183308+0100", None),
            (UTC_TIME, "26112418330xZ", None),
            (UTC_TIME, "261324183308Z", None),
            (GENERALIZED_TIME, "20261124243308Z", None),
            (GENERALIZED_TIME, "20261124183308.5Z", None),
        ];
        for (tag, text, expected) in cases {
            assert_eq!(read(tag, text).map(|moment| moment.0), expected, "{text}");
        }
    }

    #[test]
    fn each_day_of_four_centuries_is_written_as_it_is_read() {
        let mut day = 0;
        for year in 1800..2200 {
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let lengths = [31, 28 + i64::from(is_leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, length) in (1..).zip(lengths) {
                for of_month in 1..=length {
                    let text = format!("{year:04}{month:02}{of_month:02}000000Z");
                    let read = read(GENERALIZED_TIME, &text).unwrap();
                    if day != 0 {
                        assert_eq!(read.0, day + 24 * 60 * 60, "{text} follows");
                    }
                    day = read.0;
                    assert_eq!(read.to_string(), format!("{year:04}-{month:02}-{of_month:02}"));
                }
            }
        }
    }
}
