//! Parameters: what a client asked for when it connected, and what a server reports.
//!
//! A server serves clients that connected with different startup parameters. Before it goes to a
//! client whose parameters differ from those that it has, the difference is set; see
//! [`SessionSettings::change_from`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use tidegate_wire::parcel::{Malformed, Packer, Unpacker};

/// Startup parameters that concern the connection itself and not the session's settings.
const NOT_SETTINGS: [&str; 5] = ["database", "options", "replication", "user", "_pq_"];

/// Whether a setting says nothing of what a statement means: its name is of those that only say how
/// long it may take, how it is planned, or what is told of it. Of all others, those of extensions
/// too, it is not known.
pub fn is_meaningless(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 20] = [
        b"application_name",
        b"client_min_messages",
        b"commit_delay",
        b"cursor_tuple_fraction",
        b"effective_cache_size",
        b"from_collapse_limit",
        b"hash_mem_multiplier",
        b"idle_in_transaction_session_timeout",
        b"idle_session_timeout",
        b"join_collapse_limit",
        b"lock_timeout",
        b"maintenance_work_mem",
        b"plan_cache_mode",
        b"random_page_cost",
        b"seq_page_cost",
        b"statement_timeout",
        b"synchronous_commit",
        b"tcp_user_timeout",
        b"transaction_timeout",
        b"work_mem",
    ];
    const FAMILIES: [&[u8]; 4] = [b"enable_", b"jit", b"log_", b"max_parallel_"];
    NAMES.contains(&name) || FAMILIES.iter().any(|family| name.starts_with(family))
}

/// The settings of a session that differ from what the role and the database have by themselves, in
/// the order of their names, which are in lower case: what the client asked for at start-up, and
/// what it has set since. `options` is taken apart into the settings it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct SessionSettings(Vec<Setting>);

/// A name and its value.
pub(crate) type Setting = (Arc<str>, Arc<str>);

/// A startup parameter that can't be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// `options` holds something other than `-c name=value` or `--name=value`.
    #[error("unsupported command-line option \"{0}\" in startup parameter \"options\"")]
    Option(String),
    /// Not UTF-8: no setting has such a name, and a value would be refused.
    #[error("startup parameter \"{0}\" is not valid UTF-8")]
    NotUtf8(String),
}

impl SessionSettings {
    /// Takes the settings out of a startup packet's parameters.
    ///
    /// # Errors
    /// [`ParameterError`] names the parameter.
    pub fn new<'a>(
        parameters: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<Self, ParameterError> {
        let mut settings = BTreeMap::new();
        let mut options = None;
        for (name, value) in parameters {
            let lossy = || String::from_utf8_lossy(name).into_owned();
            let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value))
            else {
                return Err(ParameterError::NotUtf8(lossy()));
            };
            let name = name.to_ascii_lowercase();
            if name == "options" {
                options = Some(value);
            } else if !NOT_SETTINGS.contains(&name.as_str()) && !name.starts_with("_pq_.") {
                settings.insert(Arc::from(name), Arc::from(value));
            }
        }
        // As in PostgreSQL, what is named outright has the last word over `options`.
        for (name, value) in options.map_or(Ok(Vec::new()), parse_options)? {
            settings.entry(name).or_insert(value);
        }
        Ok(Self(settings.into_iter().collect()))
    }

    pub(crate) fn from_map(settings: &BTreeMap<Arc<str>, Arc<str>>) -> Self {
        Self(settings.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// Packs them.
    pub fn pack(&self, packer: &mut Packer) {
        packer.count(self.0.len());
        for (name, value) in self.iter() {
            packer.bytes(name.as_bytes());
            packer.bytes(value.as_bytes());
        }
    }

    /// Those that another process has packed.
    ///
    /// # Errors
    /// They were not.
    pub fn unpack(unpacker: &mut Unpacker<'_>) -> Result<Self, Malformed> {
        let mut settings = BTreeMap::new();
        for _ in 0..unpacker.count()? {
            settings.insert(unpacker.text()?.into(), unpacker.text()?.into());
        }
        Ok(Self::from_map(&settings))
    }

    pub(crate) fn settings(&self) -> impl Iterator<Item = &Setting> {
        self.0.iter()
    }

    /// Those that a server with the settings `from` must be given, by name and value.
    pub fn differing<'a>(&'a self, from: &'a Self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.iter().filter(|(name, value)| from.value(name) != Some(value))
    }

    /// All settings.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The value of a setting.
    pub fn value(&self, name: &str) -> Option<&str> {
        let place = self.0.binary_search_by(|(found, _)| (**found).cmp(name)).ok()?;
        self.0.get(place).map(|(_, value)| &**value)
    }

    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes that the names and values take.
    pub fn bytes(&self) -> usize {
        self.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// The SQL that turns a server with the parameters `from` into one with these. One query:
    /// either all of it is in force afterwards or nothing is.
    pub fn change_from(&self, from: &Self) -> Option<String> {
        if self == from {
            return None;
        }
        let mut sql = String::new();
        for (name, _) in from.iter().filter(|(name, _)| self.value(name).is_none()) {
            let _ = write!(sql, "RESET {};", quoted_name(name));
        }
        for (name, value) in self.differing(from) {
            // `set_config` takes any value as PostgreSQL takes it from a startup packet: lists
            // such as search_path stay lists, which a quoted string after SET would not.
            let _ = write!(
                sql,
                "SELECT pg_catalog.set_config({},{},false);",
                quoted_text(name),
                quoted_text(value)
            );
        }
        (!sql.is_empty()).then_some(sql)
    }

    /// The SQL that sets those of them again that a `RESET` of the client has taken back to the
    /// server's own values, and only those: what the client has set itself stays. Settings that
    /// belong to no module are not shown by `pg_settings`, and are empty when they were reset.
    pub fn restore(&self) -> Option<String> {
        let rows = self
            .iter()
            .map(|(name, value)| format!("({},{})", quoted_text(name), quoted_text(value)));
        let rows = rows.collect::<Vec<_>>().join(",");
        (!rows.is_empty()).then(|| {
            format!(
                "SELECT pg_catalog.set_config(w.n,w.v,false) FROM (VALUES {rows}) AS w(n,v) \
                 LEFT JOIN pg_catalog.pg_settings s \
                 ON pg_catalog.lower(s.name) OPERATOR(pg_catalog.=) w.n \
                 WHERE CASE WHEN s.name IS NULL \
                 THEN COALESCE(pg_catalog.current_setting(w.n,true),'') OPERATOR(pg_catalog.=) '' \
                 ELSE s.source OPERATOR(pg_catalog.<>) 'session' END"
            )
        })
    }
}

/// `-c name=value`, `-cname=value`, `--name=value`; a backslash quotes the next character.
fn parse_options(options: &str) -> Result<Vec<Setting>, ParameterError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = options.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => word.get_or_insert_default().extend(characters.next()),
            blank if blank.is_ascii_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    let mut settings = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let setting = if word == "-c" {
            words.next().ok_or_else(|| ParameterError::Option(word.clone()))?
        } else if let Some(setting) = word.strip_prefix("--").or_else(|| word.strip_prefix("-c")) {
            setting.to_owned()
        } else {
            return Err(ParameterError::Option(word));
        };
        let (name, value) =
            setting.split_once('=').ok_or_else(|| ParameterError::Option(word.clone()))?;
        // PostgreSQL takes dashes in a long option's name for underscores.
        let name = name.replace('-', "_").to_ascii_lowercase();
        settings.push((Arc::from(name), Arc::from(value)));
    }
    Ok(settings)
}

/// A string constant that means the same whatever `standard_conforming_strings` and
/// `client_encoding` say: PostgreSQL takes the bytes of a startup packet as they are, so none may
/// be converted on its way.
pub(crate) fn quoted_text(text: &str) -> String {
    let mut quoted = String::from(if text.is_ascii() && !text.contains('\\') { "'" } else { "E'" });
    for byte in text.bytes() {
        match byte {
            b'\'' => quoted.push_str("''"),
            b'\\' => quoted.push_str("\\\\"),
            0x80.. => {
                let _ = write!(quoted, "\\x{byte:02x}");
            }
            ascii => quoted.push(char::from(ascii)),
        }
    }
    quoted.push('\'');
    quoted
}

/// A setting's name, each part of a dotted one quoted by itself.
fn quoted_name(name: &str) -> String {
    let parts = name.split('.').map(|part| format!("\"{}\"", part.replace('"', "\"\"")));
    parts.collect::<Vec<_>>().join(".")
}

/// The parameters that a server has reported, and which of them differ from a baseline.
#[derive(Debug, Clone, Default)]
pub struct Reported {
    values: Arc<ReportedValues>,
    /// Names that changed since the baseline, with the value they had then.
    changed: Vec<Changed>,
}

/// A parameter's name, and its value.
pub type Report = (Box<[u8]>, Box<[u8]>);

/// Reported values, by name.
pub type ReportedValues = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// What a client that knows `known` must be told so that it knows `values`, which it does
/// afterwards.
pub fn unknown_to(known: &mut Arc<ReportedValues>, values: &Arc<ReportedValues>) -> Vec<Report> {
    if Arc::ptr_eq(values, known) {
        return Vec::new();
    }
    let news = values.iter().filter(|(name, value)| known.get(*name) != Some(value));
    let news = news.map(|(name, value)| (name.clone(), value.clone())).collect();
    *known = values.clone();
    news
}

/// A parameter's name, and the value that it had, if it had any.
type Changed = (Box<[u8]>, Option<Box<[u8]>>);

/// What PostgreSQL reports though no `SET` changes it, or though it is kept in another way.
const NO_SETTINGS: [&str; 6] = [
    "in_hot_standby",
    "integer_datetimes",
    "is_superuser",
    "server_encoding",
    "server_version",
    "session_authorization",
];

/// What changes under clients when a host stops taking writes. It is a client's only where a
/// statement of its own names it: otherwise it would take it along to the next host.
const HOSTS_OWN: &str = "default_transaction_read_only";

/// What the setting is called in lower case, if a `SET` of a client's changes it.
fn setting_name(reported: &[u8]) -> Option<String> {
    let name = String::from_utf8(reported.to_ascii_lowercase()).ok()?;
    (!NO_SETTINGS.contains(&name.as_str()) && name != HOSTS_OWN).then_some(name)
}

/// A server reports some fifteen parameters. An extension may add its own; one that reports this
/// many is not PostgreSQL.
const REPORTED_MAX: usize = 256;

impl Reported {
    /// Notes a report. What is beyond any sensible number is not kept.
    pub fn note(&mut self, name: &[u8], value: &[u8]) {
        let known = self.values.get(name);
        if known.is_none() && self.values.len() >= REPORTED_MAX {
            return;
        }
        let before = known.cloned();
        let is_news = before.as_deref() != Some(value);
        let place = self.changed.iter().position(|(changed, _)| **changed == *name);
        let was = place.and_then(|place| self.changed.get(place)).map(|(_, was)| was.as_deref());
        match (place, was) {
            (Some(place), Some(was)) if was == Some(value) => {
                self.changed.swap_remove(place);
            }
            (Some(_), _) => {}
            (None, _) if before.as_deref() == Some(value) => {}
            (None, _) => self.changed.push((name.into(), before)),
        }
        if is_news {
            Arc::make_mut(&mut self.values).insert(name.into(), value.into());
        }
    }

    /// All reports at present.
    pub fn values(&self) -> &Arc<ReportedValues> {
        &self.values
    }

    /// A client has been told all that was reported.
    pub fn is_known_to(&self, known: &mut Arc<ReportedValues>) {
        if !Arc::ptr_eq(&self.values, known) {
            *known = self.values.clone();
        }
    }

    /// Whether it is what `known` says. If so it is the same from now on, so that the next comparison
    /// is cheap: servers that report the same come to share it.
    pub fn is_as_known(&mut self, known: &Arc<ReportedValues>) -> bool {
        if Arc::ptr_eq(&self.values, known) {
            return true;
        }
        let is_equal = self.values == *known;
        if is_equal {
            self.values = known.clone();
        }
        is_equal
    }

    /// From now on differences count from here.
    pub fn set_baseline(&mut self) {
        self.changed.clear();
    }

    /// Whether a parameter differs from the baseline.
    pub fn differs(&self) -> bool {
        !self.changed.is_empty()
    }

    /// The settings that differ from the baseline, by their names in lower case, with what they are now.
    /// Not those that no `SET` changes.
    pub(crate) fn differing(&self) -> impl Iterator<Item = (String, &[u8])> {
        self.changed.iter().filter_map(|(name, _)| {
            let value = self.values.get(name).map(|value| &**value)?;
            Some((setting_name(name)?, value))
        })
    }

    /// Whether a setting is reported to be something else than in `own`.
    pub(crate) fn settings_differ_from(&self, own: &Arc<ReportedValues>) -> bool {
        if Arc::ptr_eq(&self.values, own) {
            return false;
        }
        let mut all = self.values.iter();
        all.any(|(name, value)| own.get(name) != Some(value) && setting_name(name).is_some())
    }

    /// What is reported of a setting, whose name is in lower case here.
    pub(crate) fn setting(&self, name: &str) -> Option<&[u8]> {
        let mut all = self.values.iter();
        let found = all.find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| &**value)
    }

    /// Whether each of these settings is one that the server reports.
    pub fn has_all(&self, parameters: &SessionSettings) -> bool {
        let has = |name: &str| {
            self.values.keys().any(|known| known.eq_ignore_ascii_case(name.as_bytes()))
        };
        parameters.iter().all(|(name, _)| has(name))
    }

    /// All reports, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.values.iter().map(|(name, value)| (&**name, &**value))
    }

    /// One report.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.values.get(name.as_bytes()).map(|value| &**value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(pairs: &[(&str, &str)]) -> SessionSettings {
        let pairs = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        SessionSettings::new(pairs).expect("valid")
    }

    #[test]
    fn options_are_taken_apart_and_named_parameters_win() {
        let found = parameters(&[
            ("user", "app"),
            ("database", "app"),
            ("_pq_.x", "1"),
            ("TimeZone", "UTC"),
            ("options", r"-c search_path=a,\ b --statement-timeout=5s -ctimezone=CET"),
        ]);
        let found: Vec<_> = found.iter().collect();
        let expected = [("search_path", "a, b"), ("statement_timeout", "5s"), ("timezone", "UTC")];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_not_a_setting_in_options_is_refused_by_name() {
        for bad in ["-d 5", "-c", "-c x", "--x", "nonsense"] {
            let result = SessionSettings::new([(&b"options"[..], bad.as_bytes())]);
            assert!(result.is_err(), "{bad}");
        }
        let result = SessionSettings::new([(&b"a"[..], &b"\xff"[..])]);
        assert_eq!(result, Err(ParameterError::NotUtf8("a".into())));
    }

    #[test]
    fn a_change_sets_what_differs_and_resets_what_is_gone() {
        let from = parameters(&[("a.b", "1"), ("c", "2"), ("d", "x")]);
        let to = parameters(&[("c", "it's"), ("d", "x"), ("e", r"\")]);
        assert_eq!(
            to.change_from(&from).as_deref(),
            Some(
                "RESET \"a\".\"b\";SELECT pg_catalog.set_config('c','it''s',false);\
                 SELECT pg_catalog.set_config('e',E'\\\\',false);"
            )
        );
        assert_eq!(to.change_from(&to), None);
        let to = parameters(&[("search_path", "\"ü\"")]);
        assert_eq!(
            to.change_from(&SessionSettings::default()).as_deref(),
            Some(r#"SELECT pg_catalog.set_config('search_path',E'"\xc3\xbc"',false);"#)
        );
    }

    #[test]
    fn a_client_is_told_what_it_does_not_know_of_its_new_server() {
        let mut first = Reported::default();
        first.note(b"TimeZone", b"UTC");
        let mut known = first.values().clone();
        let mut second = Reported::default();
        second.note(b"TimeZone", b"CET");
        let news = unknown_to(&mut known, second.values());
        assert_eq!(news, [(Box::from(&b"TimeZone"[..]), Box::from(&b"CET"[..]))]);
        assert_eq!(unknown_to(&mut known, second.values()), []);
        assert!(!first.is_as_known(&known));
        first.note(b"TimeZone", b"CET");
        assert!(!Arc::ptr_eq(first.values(), &known));
        assert!(first.is_as_known(&known) && Arc::ptr_eq(first.values(), &known));
        first.note(b"TimeZone", b"EST");
        assert!(!first.is_as_known(&known));
    }

    #[test]
    fn a_parameter_that_returns_to_its_value_does_not_differ() {
        let mut reported = Reported::default();
        reported.note(b"TimeZone", b"UTC");
        reported.set_baseline();
        reported.note(b"TimeZone", b"CET");
        assert!(reported.differs());
        reported.note(b"TimeZone", b"EST");
        reported.note(b"TimeZone", b"UTC");
        assert!(!reported.differs());
    }
}
