//! Certificates of our own that have expired, or soon will: nothing is wrong with them as files, so a
//! gate starts with them, and whoever verifies them refuses it.

use std::fmt;
use std::path::{Path, PathBuf};

use tidegate_config::{Config, SslMode};
use tidegate_wire::certificate::validity::{Moment, validity};

use crate::clock;

use super::files;

/// What is renewed in time is renewed a month before (certbot, cert-manager: a third of 90 days). With
/// less than this left, somebody should look why it was not.
const SOON_SECONDS: i64 = 14 * DAY_SECONDS;

/// Certificates that live for days only are renewed late in their lives, and not soon before the end
/// of others'.
const SOON_PART: i64 = 4;

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// To whom a certificate is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ShownTo {
    Clients,
    PostgreSql,
}

/// When it is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Invalid {
    /// Any more, since this moment.
    Since(Moment),
    /// From this moment on, in so many days.
    Soon(Moment, i64),
    /// Before this moment.
    Until(Moment),
}

/// A certificate that should be renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiring {
    file: PathBuf,
    shown_to: ShownTo,
    invalid: Invalid,
}

impl fmt::Display for Expiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whoever, refuses) = match self.shown_to {
            ShownTo::Clients => ("clients that verify it", "refuse"),
            ShownTo::PostgreSql => ("PostgreSQL", "refuses"),
        };
        write!(f, "a certificate in \"{}\" ", self.file.display())?;
        match self.invalid {
            Invalid::Since(last) => write!(f, "has expired on {last}: {whoever} {refuses} it")?,
            Invalid::Soon(last, days) => {
                write!(f, "expires on {last}, in {days} days: then {whoever} will refuse it")?;
            }
            Invalid::Until(first) => {
                return write!(
                    f,
                    "is not valid before {first}: {whoever} {refuses} it; look whether this \
                     machine's clock is right"
                );
            }
        }
        write!(f, "; renew it, then run \"tidegate reload\"")
    }
}

/// Those that the settings name.
pub fn expiring(config: &Config) -> Vec<Expiring> {
    let shown_to_clients = config.listen.tls.certificate().map(|(certificate, _)| certificate);
    let upstream = &config.upstream.tls;
    let shown_to_postgresql = upstream.client_certificate.as_ref();
    let shown_to_postgresql = shown_to_postgresql.filter(|_| upstream.mode != SslMode::Disable);
    let now = Moment(clock::seconds_since_1970());
    let clients = shown_to_clients.and_then(|file| look(file, ShownTo::Clients, now));
    let postgresql = shown_to_postgresql.and_then(|(file, _)| look(file, ShownTo::PostgreSql, now));
    clients.into_iter().chain(postgresql).collect()
}

/// What is to be said of the certificates in a file: of the one that is worst. What can't be read is
/// said elsewhere.
fn look(file: &Path, shown_to: ShownTo, now: Moment) -> Option<Expiring> {
    let certificates = files::certificates(file).ok()?;
    let all = certificates.iter().filter_map(|certificate| validity(certificate));
    let worst = all.min_by_key(|validity| validity.until)?;
    let left = worst.until.0.saturating_sub(now.0);
    let life = worst.until.0.saturating_sub(worst.from.0);
    let invalid = if left < 0 {
        Invalid::Since(worst.until)
    } else if now < worst.from {
        Invalid::Until(worst.from)
    } else if left < SOON_SECONDS.min(life / SOON_PART) {
        Invalid::Soon(worst.until, left / DAY_SECONDS)
    } else {
        return None;
    };
    Some(Expiring { file: file.to_owned(), shown_to, invalid })
}

#[cfg(test)]
mod tests {
    use tidegate_testkit::certificates::{Authority, Folder, day};

    use super::*;

    const NOON: i64 = 12 * 60 * 60;

    /// Days from 1970-01-01 to 2026-01-01, and to 2026-12-31.
    const FIRST: i64 = 20_454;
    const LAST: i64 = FIRST + 364;

    #[test]
    fn what_has_expired_or_soon_will_is_told() {
        let folder = Folder::default();
        let issued = Authority::new("ours").issue_with(&["localhost"], |wanted| {
            (wanted.not_before, wanted.not_after) = (day(2026, 1, 1), day(2026, 12, 31));
        });
        let file = folder.file("gate.crt", &issued.certificate);
        let said = |day: i64, shown_to| {
            let found = look(&file, shown_to, Moment(day * DAY_SECONDS + NOON));
            found.map(|expiring| expiring.to_string().replace(&*file.to_string_lossy(), "FILE"))
        };
        let remedy = "renew it, then run \"tidegate reload\"";
        assert_eq!(said(LAST - 30, ShownTo::Clients), None);
        assert_eq!(said(LAST - 15, ShownTo::Clients), None);
        assert_eq!(
            said(LAST - 10, ShownTo::Clients),
            Some(format!(
                "a certificate in \"FILE\" expires on 2026-12-31, in 9 days: then clients that \
                 verify it will refuse it; {remedy}"
            ))
        );
        assert_eq!(
            said(LAST, ShownTo::PostgreSql),
            Some(format!(
                "a certificate in \"FILE\" has expired on 2026-12-31: PostgreSQL refuses it; {remedy}"
            ))
        );
        let early = said(FIRST - 1, ShownTo::Clients).expect("it is not valid yet");
        assert!(early.contains("is not valid before 2026-01-01: clients"), "{early}");
    }

    #[test]
    fn of_a_short_life_only_the_end_is_soon() {
        let folder = Folder::default();
        let issued = Authority::new("ours").issue_with(&["localhost"], |wanted| {
            (wanted.not_before, wanted.not_after) = (day(2026, 1, 1), day(2026, 1, 9));
        });
        let file = folder.file("gate.crt", &issued.certificate);
        let is_told = |day: i64| {
            look(&file, ShownTo::Clients, Moment((FIRST + day) * DAY_SECONDS + NOON)).is_some()
        };
        assert_eq!([1, 5, 6, 8].map(is_told), [false, false, true, true]);
        assert_eq!(look(&folder.missing(), ShownTo::Clients, Moment(0)), None);
    }
}
