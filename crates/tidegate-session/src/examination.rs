//! The examination: when a transaction has ended that may have left something in the session,
//! PostgreSQL is asked what it is.
//!
//! Only PostgreSQL knows what has become of a `SET` that was rolled back to a savepoint, or of a
//! table that was dropped at the commit. So nothing is emulated: the settings that may have changed
//! are read, and each reason to keep the client at its server is looked for. The question is one
//! statement; the client need not wait for its answer, and may send its next batch behind it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use tidegate_wire::backend;
use tidegate_wire::body::DecodeError;

use crate::listen::MARKER_CHANNEL;
use crate::parameters::{SessionSettings, Setting, quoted_text};
use crate::pin::{PinReason, PinReasons, UNASKABLE};
use crate::traces::{Channels, Touched, Unlistened};

/// What PostgreSQL is to be asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Question {
    /// These may hold.
    pub(crate) reasons: PinReasons,
    /// These hold no more, whatever PostgreSQL says.
    pub(crate) gone: PinReasons,
    /// These settings may have changed.
    pub(crate) touched: Touched,
    /// Settings whose value has been reported meanwhile.
    pub(crate) reported: Vec<(Box<str>, Arc<str>)>,
    /// The client has ended listening.
    pub(crate) unlistened: Unlistened,
    /// A setting was reset; of which it is not known to what.
    pub(crate) one_was_reset: bool,
}

/// What has been found out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// These were asked for, or need not be.
    pub examined: PinReasons,
    /// Of those, these hold.
    pub holds: PinReasons,
    /// How the settings have changed, if they have.
    pub changes: Option<Changes>,
    /// To what the server listens.
    pub channels: Channels,
    /// To what the client listens no more, on whatever server.
    pub unlistened: Unlistened,
}

/// How the settings of a session have changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Whether only those in `values` are set now.
    is_all: bool,
    /// By name; none where a setting is as if it had never been set.
    values: BTreeMap<Arc<str>, Option<Arc<str>>>,
}

impl Question {
    /// Whether there is nothing to be found out.
    pub(crate) fn is_empty(&self) -> bool {
        self.reasons.is_empty()
            && self.gone.is_empty()
            && self.touched.is_empty()
            && self.reported.is_empty()
            && self.unlistened.is_empty()
    }

    /// Whether PostgreSQL need not be asked.
    pub(crate) fn is_known(&self) -> bool {
        self.reasons.without(UNASKABLE).is_empty()
            && !self.touched.any
            && self.touched.names.is_empty()
    }

    /// What is found out without asking.
    pub(crate) fn findings(self) -> Findings {
        let holds = self.reasons.without(self.reasons.without(UNASKABLE));
        let mut changes = Changes { is_all: self.touched.are_reset, values: BTreeMap::new() };
        for (name, value) in self.reported {
            changes.values.insert(Arc::from(&*name), Some(value));
        }
        let has_changed = changes.is_all || !changes.values.is_empty() || self.touched.any;
        Findings {
            examined: self.reasons.and(self.gone),
            holds,
            changes: has_changed.then_some(changes),
            unlistened: self.unlistened,
            ..Findings::default()
        }
    }

    /// The statement that asks. Its answer is ASCII, whatever `client_encoding` says, and it means
    /// the same whatever `search_path` says.
    pub(crate) fn sql(&self) -> String {
        let mut parts = Vec::new();
        for reason in self.reasons.iter() {
            if let Some(condition) = condition(reason) {
                parts.push(format!("SELECT 'h','{}',NULL WHERE {condition}", reason.index()));
            }
            if reason == PinReason::Listen {
                parts.push(format!(
                    "SELECT 'c',{},NULL FROM pg_catalog.pg_listening_channels() AS l(c) \
                     WHERE c OPERATOR(pg_catalog.<>) '{MARKER_CHANNEL}'",
                    in_hex("c")
                ));
            }
        }
        if self.touched.any {
            parts.push(format!(
                "SELECT 's',pg_catalog.lower(name),{} FROM pg_catalog.pg_settings \
                 WHERE source OPERATOR(pg_catalog.=) 'session' \
                 AND name OPERATOR(pg_catalog.<>) ALL ('{{{NOT_KEPT}}}')",
                in_hex("pg_catalog.current_setting(name)")
            ));
        }
        for name in &self.touched.names {
            let mut part = String::new();
            let name = quoted_text(name);
            let value = in_hex(&format!("pg_catalog.current_setting({name},true)"));
            let _ = write!(part, "SELECT 's',{name},{value}");
            parts.push(part);
        }
        parts.join(" UNION ALL ")
    }
}

/// Settings that are not the session's, or that are kept in another way.
const NOT_KEPT: &str = "role,session_authorization,transaction_isolation,transaction_read_only,\
    transaction_deferrable,seed";

fn in_hex(text: &str) -> String {
    format!(
        "pg_catalog.encode(pg_catalog.convert_to({text},pg_catalog.getdatabaseencoding()),'hex')"
    )
}

/// What is true while the reason holds. Asked outside of a transaction, so what would end with one
/// has ended.
fn condition(reason: PinReason) -> Option<&'static str> {
    Some(match reason {
        PinReason::AdvisoryLock => {
            "EXISTS (SELECT FROM pg_catalog.pg_locks \
             WHERE locktype OPERATOR(pg_catalog.=) 'advisory' \
             AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid())"
        }
        PinReason::Cursor => "EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE is_holdable)",
        PinReason::Prepared => {
            "EXISTS (SELECT FROM pg_catalog.pg_prepared_statements \
             WHERE name OPERATOR(pg_catalog.!~) '^tidegate_[0-9]+$')"
        }
        PinReason::Requested => {
            "pg_catalog.lower(pg_catalog.current_setting('tidegate.pin',true)) \
             OPERATOR(pg_catalog.=) ANY ('{on,true,yes,1}')"
        }
        PinReason::Role => {
            "pg_catalog.current_setting('role') OPERATOR(pg_catalog.<>) 'none' \
             OR session_user OPERATOR(pg_catalog.<>) (SELECT pg_catalog.pg_get_userbyid(usesysid) \
             FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()))"
        }
        PinReason::TempTable => {
            "EXISTS (SELECT FROM pg_catalog.pg_class \
             WHERE relnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()) \
             OR EXISTS (SELECT FROM pg_catalog.pg_proc \
             WHERE pronamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()) \
             OR EXISTS (SELECT FROM pg_catalog.pg_type \
             WHERE typnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()) \
             OR EXISTS (SELECT FROM pg_catalog.pg_operator \
             WHERE oprnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema())"
        }
        // Its channels are asked for.
        PinReason::Listen | PinReason::Load | PinReason::Sequence | PinReason::Set => return None,
    })
}

impl Findings {
    /// Takes in a row of the answer.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn read(&mut self, row: &[u8]) -> Result<(), DecodeError> {
        let [kind, name, value] = backend::columns(row)?;
        let name = name.and_then(|name| std::str::from_utf8(name).ok());
        match (kind, name) {
            (Some(b"h"), Some(index)) => {
                let reason = PinReason::ALL.into_iter().find(|r| r.index().to_string() == index);
                self.holds = reason.map_or(self.holds, |reason| self.holds.with(reason));
            }
            (Some(b"c"), Some(channel)) => {
                self.holds.add(PinReason::Listen);
                if let Some(channel) = from_hex(channel.as_bytes()) {
                    self.channels.insert(channel.into_bytes().into());
                }
            }
            (Some(b"s"), Some(name)) => {
                let changes = self.changes.get_or_insert_default();
                match value.map(from_hex) {
                    Some(None) => self.holds.add(PinReason::Set), // In no encoding that we know.
                    Some(Some(value)) => {
                        changes.values.insert(name.into(), Some(value.into()));
                    }
                    None => {
                        changes.values.insert(name.into(), None);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// All rows have come: what the question says beside them.
    pub(crate) fn complete(&mut self, question: Question) {
        let is_all = question.touched.any || question.touched.are_reset;
        let one_was_reset = question.one_was_reset;
        let asked = question.findings();
        self.examined = asked.examined;
        self.unlistened = asked.unlistened;
        self.holds = self.holds.and(asked.holds);
        if let Some(known) = asked.changes {
            let changes = self.changes.get_or_insert_default();
            for (name, value) in known.values {
                changes.values.entry(name).or_insert(value);
            }
        }
        if let Some(changes) = &mut self.changes {
            changes.is_all = is_all;
            if one_was_reset {
                changes.empty_are_reset();
            }
        }
    }

    /// Nothing could be found out: what may be, is.
    pub(crate) fn supposed(question: &Question) -> Self {
        let mut holds = question.reasons;
        if !question.touched.is_empty() {
            holds.add(PinReason::Set);
        }
        let unlistened = question.unlistened.clone();
        Self { examined: question.reasons, holds, unlistened, ..Self::default() }
    }
}

impl Changes {
    /// A setting that belongs to no module is empty when it was reset, and never again as if it had
    /// never been set.
    fn empty_are_reset(&mut self) {
        for (name, value) in &mut self.values {
            if name.contains('.') {
                value.take_if(|value| value.is_empty());
            }
        }
    }

    /// The settings of the server now, and those of the client. `server` and `client`: those before,
    /// which differ where the client has reset one and still has this server; `startup`: those that
    /// the client has asked for when it connected, to which it returns when it resets a setting.
    pub fn apply(
        &self,
        server: &SessionSettings,
        client: &SessionSettings,
        startup: &SessionSettings,
    ) -> (SessionSettings, SessionSettings) {
        let changed = |before: &SessionSettings| {
            let mut all: BTreeMap<Arc<str>, Arc<str>> = BTreeMap::new();
            if !self.is_all {
                all.extend(before.settings().cloned());
            }
            for (name, value) in &self.values {
                match value {
                    Some(value) => all.insert(name.clone(), value.clone()),
                    None => all.remove(name),
                };
            }
            all
        };
        let of_server = SessionSettings::from_map(&changed(server));
        let mut all = changed(client);
        let lacks = |setting: &&Setting| self.is_all && !all.contains_key(&setting.0);
        let missing: Vec<_> = startup.settings().filter(lacks).cloned().collect();
        all.extend(missing);
        (of_server, SessionSettings::from_map(&all))
    }
}

fn from_hex(hex: &[u8]) -> Option<String> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes: Option<Vec<u8>> = hex
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect();
    String::from_utf8(bytes?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(columns: [Option<&str>; 3]) -> Vec<u8> {
        let mut row = vec![0, 3];
        for column in columns {
            let length = column.map_or(-1, |text| i32::try_from(text.len()).expect("short"));
            row.extend(length.to_be_bytes());
            row.extend(column.unwrap_or_default().as_bytes());
        }
        row
    }

    fn settings(pairs: &[(&str, &str)]) -> SessionSettings {
        let pairs = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        SessionSettings::new(pairs).expect("valid")
    }

    fn named(names: &[&str]) -> Touched {
        Touched { names: names.iter().map(|name| (*name).into()).collect(), ..Touched::default() }
    }

    #[test]
    fn what_was_set_is_kept_and_what_was_rolled_back_is_not() {
        let question = Question { touched: named(&["a.x", "work_mem"]), ..Question::default() };
        assert!(!question.is_known());
        let mut findings = Findings::default();
        findings.read(&row([Some("s"), Some("a.x"), None])).expect("a row");
        findings.read(&row([Some("s"), Some("work_mem"), Some("344d42")])).expect("a row");
        findings.complete(question);
        let changes = findings.changes.expect("some");
        let before = settings(&[("a.x", "1"), ("timezone", "UTC")]);
        let (server, client) = changes.apply(&before, &before, &settings(&[("timezone", "UTC")]));
        assert_eq!(server, settings(&[("timezone", "UTC"), ("work_mem", "4MB")]));
        assert_eq!(server, client);
    }

    #[test]
    fn a_reset_returns_to_what_the_client_connected_with() {
        let touched = Touched { are_reset: true, ..Touched::default() };
        let question = Question { touched, ..Question::default() };
        assert!(question.is_known());
        let changes = question.findings().changes.expect("some");
        let startup = settings(&[("timezone", "UTC")]);
        let before = settings(&[("timezone", "CET")]);
        let (server, client) = changes.apply(&before, &before, &startup);
        assert!(server.is_empty());
        assert_eq!(client, startup);
    }

    #[test]
    fn what_changes_after_a_reset_leaves_the_client_what_it_connected_with() {
        // The server is without it until the client's settings are set again.
        let startup = settings(&[("timezone", "UTC")]);
        let reported = vec![("intervalstyle".into(), "iso_8601".into())];
        let question = Question { reported, ..Question::default() };
        let changes = question.findings().changes.expect("some");
        let (server, client) = changes.apply(&SessionSettings::default(), &startup, &startup);
        assert_eq!(server, settings(&[("intervalstyle", "iso_8601")]));
        assert_eq!(client, settings(&[("intervalstyle", "iso_8601"), ("timezone", "UTC")]));
    }

    #[test]
    fn an_applications_own_setting_is_reset_to_what_the_client_connected_with() {
        let startup = settings(&[("app.x", "own"), ("app.y", "other")]);
        for (one_was_reset, expected) in [(true, "own"), (false, "")] {
            let touched = Touched { any: true, ..named(&["app.x", "app.y"]) };
            let question = Question { touched, one_was_reset, ..Question::default() };
            let mut findings = Findings::default();
            findings.read(&row([Some("s"), Some("app.x"), Some("")])).expect("a row");
            findings.read(&row([Some("s"), Some("app.y"), Some("31")])).expect("a row");
            findings.complete(question);
            let changes = findings.changes.expect("some");
            let (_, client) = changes.apply(&startup, &startup, &startup);
            assert_eq!(client, settings(&[("app.x", expected), ("app.y", "1")]));
        }
    }

    #[test]
    fn reasons_hold_where_postgresql_says_so_or_nobody_can_tell() {
        let reasons = PinReasons::NONE.with(PinReason::Load).with(PinReason::TempTable);
        let question = Question { reasons, ..Question::default() };
        assert!(question.sql().contains("pg_my_temp_schema"));
        let mut findings = Findings::default();
        findings.complete(question.clone());
        assert_eq!(findings.holds, PinReasons::NONE.with(PinReason::Load));
        let mut findings = Findings::default();
        let index = PinReason::TempTable.index().to_string();
        findings.read(&row([Some("h"), Some(&index), None])).expect("a row");
        findings.complete(question);
        assert_eq!(findings.holds, reasons);
    }

    #[test]
    fn a_row_that_is_none_is_refused() {
        for bad in [&b""[..], &[0, 1], &[0, 3, 0, 0, 0, 9, 0]] {
            assert!(Findings::default().read(bad).is_err(), "{bad:?}");
        }
    }
}
