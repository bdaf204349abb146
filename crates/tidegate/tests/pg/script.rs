//! Scripts: finding them, reading their heads.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::step::Step;
use crate::{sql, wire};

/// A script, read and checked.
pub(crate) struct Script {
    /// Relative to the folder of all scripts, such as `copy/out.sql`.
    pub(crate) name: String,
    pub(crate) head: Head,
    /// A way to play it, and what that comes down to.
    pub(crate) ways: Vec<(Mode, Vec<Step>)>,
}

/// What the head of a script says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Head {
    /// Older versions of PostgreSQL don't know what it uses.
    pub(crate) version_min: u32,
    /// The ways in which it can't be played are left out.
    only: Option<Only>,
    /// What all its connections say when they log in.
    pub(crate) startup: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Only {
    /// In simple Queries.
    Simple,
    /// In either protocol, but results come as text.
    Text,
}

/// How a script is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A Query for each paragraph.
    Simple,
    /// A batch for each paragraph: Parse, Bind, Describe, Execute, without names; results as text.
    Extended,
    /// As asyncpg and others do: a statement with a name is prepared and described, and run in a
    /// second batch; results in binary.
    Binary,
    /// Message by message.
    Wire,
}

impl Mode {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Extended => "extended",
            Self::Binary => "binary",
            Self::Wire => "wire",
        }
    }
}

/// A line that is not as the README says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.what)
    }
}

/// The connection of a script that names none.
pub(crate) const SESSION: &str = "a";

/// The folder of all scripts.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pg/scripts")
}

/// All scripts of a topic, by name.
///
/// # Panics
/// When one is not as it should be; the message names file and line.
pub(crate) fn of_topic(topic: &str) -> Vec<Script> {
    let folder = folder().join(topic);
    let entries = std::fs::read_dir(&folder);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.iter().map(|file| read(topic, file)).collect()
}

fn read(topic: &str, file: &Path) -> Script {
    let text = std::fs::read_to_string(file);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let script = match file.extension().and_then(|extension| extension.to_str()) {
        Some("sql") => from_sql(&text),
        Some("wire") => from_wire(&text),
        _ => Err(Fault { line: 1, what: "a script ends in .sql or .wire".to_owned() }),
    };
    let (head, ways) = script.unwrap_or_else(|fault| panic!("{}:{fault}", file.display()));
    Script { name: format!("{topic}/{name}"), head, ways }
}

type Parts = (Head, Vec<(Mode, Vec<Step>)>);

fn from_sql(text: &str) -> Result<Parts, Fault> {
    let (head, first) = head(text, "-- ")?;
    let lines = numbered(text, first);
    let paragraphs = sql::paragraphs(lines)?;
    let modes: &[Mode] = match head.only {
        None => &[Mode::Simple, Mode::Extended, Mode::Binary],
        Some(Only::Text) => &[Mode::Simple, Mode::Extended],
        Some(Only::Simple) => &[Mode::Simple],
    };
    let ways = modes.iter().map(|mode| (*mode, sql::steps(&paragraphs, *mode))).collect();
    Ok((head, ways))
}

fn from_wire(text: &str) -> Result<Parts, Fault> {
    let (head, first) = head(text, "# ")?;
    if head.only.is_some() {
        return Err(Fault { line: 1, what: "only .sql has several modes".to_owned() });
    }
    let steps = wire::steps(numbered(text, first))?;
    Ok((head, vec![(Mode::Wire, steps)]))
}

fn numbered(text: &str, first: usize) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line)).skip(first)
}

/// Reads the head: what the script shows, in a sentence; then what it needs, a line each; then an
/// empty line. Gives the number of lines.
fn head(text: &str, comment: &str) -> Result<(Head, usize), Fault> {
    let mut head = Head::default();
    let mut sentence = String::new();
    for (line, text) in numbered(text, 0) {
        let fault = |what: &str| Fault { line, what: what.to_owned() };
        if text.is_empty() {
            let is_told = sentence.ends_with('.');
            let told = || fault("the head does not say in a sentence what the script shows");
            return is_told.then_some((head, line)).ok_or_else(told);
        }
        let text = text.strip_prefix(comment).ok_or_else(|| fault("the head is not a comment"))?;
        if !sentence.ends_with('.') {
            sentence.push_str(text);
            continue;
        }
        match text.split_once(": ") {
            Some(("from version", version)) => {
                head.version_min = version.parse().map_err(|_| fault("not a version"))?;
            }
            Some(("only", "simple")) => head.only = Some(Only::Simple),
            Some(("only", "text")) => head.only = Some(Only::Text),
            Some(("startup", pair)) => {
                let (name, value) = pair.split_once('=').ok_or_else(|| fault("no `=`"))?;
                head.startup.push((name.to_owned(), value.to_owned()));
            }
            _ => return Err(fault("no head says this")),
        }
    }
    Err(Fault { line: 1, what: "there is nothing behind the head".to_owned() })
}

#[test]
fn heads_say_what_is_shown_and_what_is_needed() {
    let text =
        "-- Shows\n-- it.\n-- from version: 15\n-- only: text\n-- startup: a=b=c\n\nSELECT 1\n";
    let startup = vec![("a".to_owned(), "b=c".to_owned())];
    let expected = Head { version_min: 15, only: Some(Only::Text), startup };
    assert_eq!(head(text, "-- "), Ok((expected, 6)));
    for (bad, line) in [
        ("SELECT 1\n", 1),
        ("-- no sentence\n\n", 2),
        ("-- A.\n-- only: me\n\n", 2),
        ("-- A.\n-- from version: x\n\n", 2),
        ("-- A.\n", 1),
    ] {
        assert_eq!(head(bad, "-- ").map_err(|fault| fault.line), Err(line), "{bad}");
    }
}

#[test]
fn what_is_wrong_with_a_script_is_said_with_its_line() {
    let faults = [
        ("# A.\n\nQuery \"a\"\n", "3: nothing reads the answer"),
        ("# A.\n\nQuery \"a\"\nsession b\n", "4: `read` or `send` comes before another session"),
        ("# A.\n\nParse 1\n", "3: no line looks like this: `Parse` and 1 more"),
    ];
    for (text, expected) in faults {
        let fault = from_wire(text).map(|_| ()).unwrap_err();
        assert_eq!(fault.to_string(), expected);
    }
    let faults = [
        ("-- A.\n\n-- sesion: b\nSELECT 1\n", "3: no directive is called `sesion: b`"),
        ("-- A.\n\n-- receive\nSELECT 1\n", "4: nothing is sent in a paragraph that only reads"),
        ("-- A.\n\n-- session: b\n", "3: there is nothing to send"),
        ("-- A.\n\n\nSELECT 1\n", "3: one empty line is enough"),
    ];
    for (text, expected) in faults {
        let fault = from_sql(text).map(|_| ()).unwrap_err();
        assert_eq!(fault.to_string(), expected);
    }
}
