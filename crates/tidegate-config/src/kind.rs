//! Kinds of values: how a setting is read from text, and how its range is told.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::config::ListenAddress;
use crate::duration::{DurationError, format_duration, parse_duration};
use crate::listen;
use crate::nearest::nearest;
use crate::query;
use crate::size::{SizeError, format_size, parse_size};
use crate::url::{self, Url};

/// A value as it was written, before anybody asked what it should be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Raw {
    /// One value. `quoted` is false for what the settings file has without quotes.
    One { text: String, quoted: bool },
    /// A list of strings.
    List(Vec<String>),
}

impl Raw {
    pub(crate) fn quoted(text: impl Into<String>) -> Self {
        Self::One { text: text.into(), quoted: true }
    }

    /// Whether this says nothing: an empty string means that the setting is not set.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::One { text, .. } if text.trim().is_empty())
    }

    /// For messages: as it was written.
    pub(crate) fn cited(&self) -> String {
        match self {
            Self::One { text, quoted: true } => format!("{text:?}"),
            Self::One { text, quoted: false } => text.clone(),
            Self::List(texts) => format!("{texts:?}"),
        }
    }

    fn one(&self) -> Result<&str, Wrong> {
        match self {
            Self::One { text, .. } => Ok(text.trim()),
            Self::List(_) => Err(Wrong::because(LIST)),
        }
    }
}

const LIST: &str = "a list where one value is wanted";
/// For secrets, whose value is not quoted before it.
const LIST_UNSHOWN: &str = "is a list where one value is wanted";

/// Why a value is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Completes the sentence "pool.pool_size is -1, …"; for a secret, "upstream.url …".
    pub(crate) why: String,
    /// What to write instead, where the range does not say it.
    pub(crate) remedy: Option<String>,
}

impl Wrong {
    fn because(why: impl Into<String>) -> Self {
        Self { why: why.into(), remedy: None }
    }

    fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// What there is to say of a kind without a value.
pub(crate) trait Describe: Sync {
    /// The allowed values, in words.
    fn range(&self) -> String;
    /// The JSON schema of a value.
    fn schema(&self) -> Value;
    /// Whether a wrong value may be quoted in a message.
    fn is_secret(&self) -> bool {
        false
    }
    /// A value in text, as a TOML value.
    fn in_toml(&self, text: &str) -> String {
        format!("{text:?}")
    }
}

/// A kind of values.
pub(crate) trait Kind: Describe {
    type Value;
    fn read(&self, raw: &Raw) -> Result<Self::Value, Wrong>;
}

/// One of several words.
pub(crate) struct Words<T: 'static>(pub(crate) &'static [(&'static str, T)]);

impl<T: Sync> Describe for Words<T> {
    fn range(&self) -> String {
        self.0.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ")
    }

    fn schema(&self) -> Value {
        json!({ "enum": self.0.iter().map(|(word, _)| *word).collect::<Vec<_>>() })
    }
}

impl<T: Copy + Sync> Kind for Words<T> {
    type Value = T;

    fn read(&self, raw: &Raw) -> Result<T, Wrong> {
        let text = raw.one()?;
        if let Some((_, value)) = self.0.iter().find(|(word, _)| *word == text) {
            return Ok(*value);
        }
        let wrong = Wrong::because("not one of its words");
        Err(match nearest(text, self.0.iter().map(|(word, _)| *word)) {
            Some(word) => wrong.remedy(format!("did you mean {word:?}?")),
            None => wrong,
        })
    }
}

/// `true` or `false`.
pub(crate) struct Flag;

impl Describe for Flag {
    fn range(&self) -> String {
        "true, false".to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "type": "boolean" })
    }

    fn in_toml(&self, text: &str) -> String {
        text.to_owned()
    }
}

impl Kind for Flag {
    type Value = bool;

    fn read(&self, raw: &Raw) -> Result<bool, Wrong> {
        raw.one()?.parse().map_err(|_| Wrong::because("neither true nor false"))
    }
}

/// A whole number.
pub(crate) struct Count {
    pub(crate) min: u32,
    pub(crate) max: u32,
}

impl Describe for Count {
    fn range(&self) -> String {
        format!("{} to {}", self.min, self.max)
    }

    fn schema(&self) -> Value {
        json!({ "type": "integer", "minimum": self.min, "maximum": self.max })
    }

    fn in_toml(&self, text: &str) -> String {
        text.to_owned()
    }
}

impl Kind for Count {
    type Value = u32;

    fn read(&self, raw: &Raw) -> Result<u32, Wrong> {
        let number: i128 = raw.one()?.parse().map_err(|_| Wrong::because("not a whole number"))?;
        match u32::try_from(number) {
            Ok(number) if (self.min..=self.max).contains(&number) => Ok(number),
            _ => Err(Wrong::because("out of range")),
        }
    }
}

/// A number of threads.
pub(crate) struct Threads(pub(crate) Count);

impl Describe for Threads {
    fn range(&self) -> String {
        self.0.range()
    }

    fn schema(&self) -> Value {
        self.0.schema()
    }

    fn in_toml(&self, text: &str) -> String {
        self.0.in_toml(text)
    }
}

impl Kind for Threads {
    type Value = NonZeroU16;

    fn read(&self, raw: &Raw) -> Result<NonZeroU16, Wrong> {
        let number = u16::try_from(self.0.read(raw)?).ok();
        number.and_then(NonZeroU16::new).ok_or_else(|| Wrong::because("out of range"))
    }
}

/// A number between two others, both included.
pub(crate) struct Ratio {
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Describe for Ratio {
    fn range(&self) -> String {
        format!("{} to {}", self.min, self.max)
    }

    fn schema(&self) -> Value {
        json!({ "type": "number", "minimum": self.min, "maximum": self.max })
    }

    fn in_toml(&self, text: &str) -> String {
        text.to_owned()
    }
}

impl Kind for Ratio {
    type Value = f64;

    fn read(&self, raw: &Raw) -> Result<f64, Wrong> {
        match raw.one()?.parse::<f64>() {
            Ok(number) if (self.min..=self.max).contains(&number) => Ok(number),
            Ok(number) if number.is_finite() => Err(Wrong::because("out of range")),
            _ => Err(Wrong::because("not a number")),
        }
    }
}

/// A duration.
pub(crate) struct Period {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
}

impl Describe for Period {
    fn range(&self) -> String {
        format!("{} to {}", format_duration(self.min), format_duration(self.max))
    }

    fn schema(&self) -> Value {
        const UNITS: &str = "([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?";
        json!({ "type": ["string", "integer"], "pattern": format!("^(0|{UNITS})$"), "minimum": 0, "maximum": 0 })
    }
}

impl Kind for Period {
    type Value = Duration;

    fn read(&self, raw: &Raw) -> Result<Duration, Wrong> {
        let duration = parse_duration(raw.one()?).map_err(|error| match error {
            DurationError::NoUnit => {
                Wrong::because(error.to_string()).remedy("give a unit: 30s, 500ms, 5m, 1h")
            }
            DurationError::Malformed => Wrong::because(error.to_string())
                .remedy("write numbers with units: 30s, 500ms, 5m, 1h30m"),
            DurationError::TooLong => Wrong::because(error.to_string()),
        })?;
        if (self.min..=self.max).contains(&duration) {
            Ok(duration)
        } else {
            Err(Wrong::because("out of range"))
        }
    }
}

/// A number of bytes.
pub(crate) struct Size {
    pub(crate) min: u64,
    pub(crate) max: u64,
}

impl Describe for Size {
    fn range(&self) -> String {
        format!("{} to {}", format_size(self.min), format_size(self.max))
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "pattern": "^[0-9]+ ?([kK]|[mM]|[gG]|[tT])[bB]$" })
    }
}

impl Kind for Size {
    type Value = u64;

    fn read(&self, raw: &Raw) -> Result<u64, Wrong> {
        let bytes = parse_size(raw.one()?).map_err(|error| match error {
            SizeError::NoUnit | SizeError::Malformed => Wrong::because(error.to_string())
                .remedy("write a whole number with a unit: 512kB, 64MB, 1GB"),
            SizeError::TooLarge => Wrong::because(error.to_string()),
        })?;
        if (self.min..=self.max).contains(&bytes) {
            Ok(bytes)
        } else {
            Err(Wrong::because("out of range"))
        }
    }
}

/// Another kind, or a word (`auto`, `off`), which is `None`.
pub(crate) struct Or<K> {
    pub(crate) word: &'static str,
    pub(crate) kind: K,
}

/// What other programs call "off"; SQLAlchemy's `pool_recycle` is -1 there.
const OFF_ELSEWHERE: [&str; 7] = ["-1", "disable", "disabled", "false", "never", "no", "none"];

impl<K: Describe> Describe for Or<K> {
    fn range(&self) -> String {
        format!("{}, {:?}", self.kind.range(), self.word)
    }

    fn schema(&self) -> Value {
        json!({ "anyOf": [self.kind.schema(), { "const": self.word }] })
    }

    fn in_toml(&self, text: &str) -> String {
        if text == self.word { format!("{text:?}") } else { self.kind.in_toml(text) }
    }
}

impl<K: Kind> Kind for Or<K> {
    type Value = Option<K::Value>;

    fn read(&self, raw: &Raw) -> Result<Self::Value, Wrong> {
        if matches!(raw, Raw::One { text, .. } if text.trim() == self.word) {
            return Ok(None);
        }
        self.kind.read(raw).map(Some).map_err(|wrong| match raw {
            Raw::One { text, .. }
                if self.word == "off" && OFF_ELSEWHERE.contains(&text.as_str()) =>
            {
                wrong.remedy("write \"off\"")
            }
            _ => wrong,
        })
    }
}

/// Text that stands for itself.
pub(crate) struct Text {
    pub(crate) secret: bool,
}

impl Describe for Text {
    fn range(&self) -> String {
        "any text".to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "type": "string" })
    }

    fn is_secret(&self) -> bool {
        self.secret
    }
}

impl Kind for Text {
    type Value = String;

    fn read(&self, raw: &Raw) -> Result<String, Wrong> {
        match raw {
            // As it is: a password may begin or end with a space.
            Raw::One { text, quoted: true } => Ok(text.clone()),
            // 007 or 1e3 would not arrive as they were written.
            Raw::One { quoted: false, .. } => {
                let why = if self.secret { "is not text" } else { "not text" };
                Err(Wrong::because(why).remedy("put it in quotes"))
            }
            Raw::List(_) => Err(Wrong::because(if self.secret { LIST_UNSHOWN } else { LIST })),
        }
    }
}

/// A path.
pub(crate) struct File;

impl Describe for File {
    fn range(&self) -> String {
        "a path".to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "type": "string" })
    }
}

impl Kind for File {
    type Value = PathBuf;

    fn read(&self, raw: &Raw) -> Result<PathBuf, Wrong> {
        Text { secret: false }.read(raw).map(PathBuf::from)
    }
}

/// The upstream's URL.
pub(crate) struct ConnectionString;

impl Describe for ConnectionString {
    fn range(&self) -> String {
        "postgres://USER:PASSWORD@HOST:PORT/DATABASE, or host=HOST user=USER".to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "type": "string" })
    }

    fn is_secret(&self) -> bool {
        true
    }
}

impl Kind for ConnectionString {
    type Value = Url;

    fn read(&self, raw: &Raw) -> Result<Url, Wrong> {
        let text = raw.one().map_err(|_| Wrong::because(LIST_UNSHOWN))?;
        url::parse(text).map_err(|error| Wrong::because(error.to_string()).remedy(error.remedy()))
    }
}

/// Addresses to listen on.
pub(crate) struct Addresses;

impl Describe for Addresses {
    fn range(&self) -> String {
        "IP:PORT, :PORT (all interfaces), localhost:PORT, unix:/PATH, a list of these, \"off\""
            .to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "anyOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" } },
        ] })
    }
}

impl Kind for Addresses {
    type Value = Vec<ListenAddress>;

    fn read(&self, raw: &Raw) -> Result<Vec<ListenAddress>, Wrong> {
        let texts: Vec<&str> = match raw {
            Raw::One { text, .. } if text.trim() == "off" => Vec::new(),
            // The environment and the command line have no lists.
            Raw::One { text, .. } => text.split(',').collect(),
            Raw::List(texts) => texts.iter().map(String::as_str).collect(),
        };
        texts.into_iter().map(|text| listen::parse(text.trim()).map_err(Wrong::because)).collect()
    }
}

/// Names of users.
pub(crate) struct Names;

impl Describe for Names {
    fn range(&self) -> String {
        "names, a list of them, or with commas between them".to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "anyOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" } },
        ] })
    }
}

impl Kind for Names {
    type Value = Vec<String>;

    fn read(&self, raw: &Raw) -> Result<Vec<String>, Wrong> {
        let names: Vec<String> = match raw {
            Raw::One { quoted: true, text } => {
                text.split(',').map(|name| name.trim().to_owned()).collect()
            }
            Raw::One { quoted: false, .. } => {
                return Err(Wrong::because("no name").remedy("put it in quotes"));
            }
            Raw::List(names) => names.clone(),
        };
        if names.iter().any(String::is_empty) {
            return Err(Wrong::because("a list with a name that is empty"));
        }
        Ok(names)
    }
}

/// The query that looks up a user.
pub(crate) struct LookUp;

impl Describe for LookUp {
    fn range(&self) -> String {
        "one statement with $1".to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "type": "string" })
    }
}

impl Kind for LookUp {
    type Value = String;

    fn read(&self, raw: &Raw) -> Result<String, Wrong> {
        let text = Text { secret: false }.read(raw)?;
        query::check(&text).map_err(|error| Wrong::because(error.to_string()))?;
        Ok(text)
    }
}
