//! Commands of the console: what statements mean.
//!
//! Words are taken in upper and in lower case. Names of databases are taken as they are written, as
//! PgBouncer does.

use std::sync::Arc;

use tidegate_config::ConsoleVersion;
use tidegate_pool_core::pools::operating::Scope;
use tidegate_session::console::table::{Cell, Columns, Type};
use tidegate_session::console::{Forgotten, Language};
use tidegate_session::sql::Token;
use tidegate_wire::backend::TransactionStatus;
use tidegate_wire::catalogue::Complaint;

use crate::console::columns::{Table, column};
use crate::operations::Operation;

/// A command.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Command {
    /// For administrators only.
    Act(Act),
    /// BEGIN and the like: its tag, and where the session stands then.
    Begin(&'static str, TransactionStatus),
    /// DEALLOCATE, or DISCARD ALL: its tag.
    Forget(&'static str, Forgotten),
    Help,
    /// A word that changes nothing: its tag.
    Nothing(&'static str),
    /// A value that drivers and people ask for: the tag, what it is called, of which type, and what it
    /// is.
    One(&'static str, &'static str, Type, Cell),
    /// SET of what drivers set.
    Set,
    Show(Table),
}

/// A command that changes something.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Act {
    Pools(Pools, Scope),
    /// All clients and servers of a database, which is paused first.
    Kill(Arc<str>),
    /// A client by its pid, and by the number that no other with this pid has had.
    KillClient(u32, Option<u32>),
    Reload,
    /// With what stood behind it.
    Shutdown(&'static str),
}

/// What is done to pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pools {
    Pause,
    Reconnect,
    Resume,
}

impl Pools {
    pub(super) const fn operation(self) -> Operation {
        match self {
            Self::Pause => Operation::Pause,
            Self::Reconnect => Operation::Reconnect,
            Self::Resume => Operation::Resume,
        }
    }

    const fn tag(self) -> &'static str {
        match self {
            Self::Pause => "PAUSE",
            Self::Reconnect => "RECONNECT",
            Self::Resume => "RESUME",
        }
    }
}

impl Act {
    /// Its tag.
    pub(super) const fn tag(&self) -> &'static str {
        match self {
            Self::Pools(what, _) => what.tag(),
            Self::Kill(_) => "KILL",
            Self::KillClient(..) => "KILL_CLIENT",
            Self::Reload => "RELOAD",
            Self::Shutdown(_) => "SHUTDOWN",
        }
    }

    /// What it is about, for the log.
    pub(super) fn subject(&self) -> String {
        match self {
            Self::Pools(_, Scope::All) => "all".to_owned(),
            Self::Pools(_, Scope::Database(name)) | Self::Kill(name) => name.to_string(),
            Self::KillClient(pid, None) => pid.to_string(),
            Self::KillClient(pid, Some(serial)) => format!("{pid}.{serial}"),
            Self::Reload => String::new(),
            Self::Shutdown(how) => (*how).to_owned(),
        }
    }
}

/// The console's language, as a session of it has it.
pub(super) struct Commands {
    pub(super) version: ConsoleVersion,
    pub(super) release: String,
}

impl Language for Commands {
    type Command = Command;

    fn parse(&self, statement: &[Token<'_>], text: &str) -> Result<Command, Complaint> {
        let unknown = || Complaint::console_command(text);
        let [first, rest @ ..] = statement else { return Err(unknown()) };
        let word = |token: &Token<'_>| match token {
            Token::Word(word) => String::from_utf8_lossy(word).to_ascii_lowercase(),
            _ => String::new(),
        };
        let verb = word(first);
        let none = |command: Command| if rest.is_empty() { Ok(command) } else { Err(unknown()) };
        let pools = |what| match rest {
            [] => Ok(Command::Act(Act::Pools(what, Scope::All))),
            _ => {
                let name = name(rest).ok_or_else(unknown)?;
                Ok(Command::Act(Act::Pools(what, Scope::Database(name))))
            }
        };
        match verb.as_str() {
            "show" => self.show(rest, &word).unwrap_or_else(|| Err(unknown())),
            "pause" => pools(Pools::Pause),
            "resume" => pools(Pools::Resume),
            "reconnect" => pools(Pools::Reconnect),
            "kill" => Ok(Command::Act(Act::Kill(name(rest).ok_or_else(unknown)?))),
            "kill_client" => {
                let (pid, serial) = client(rest).ok_or_else(unknown)?;
                Ok(Command::Act(Act::KillClient(pid, serial)))
            }
            "reload" => none(Command::Act(Act::Reload)),
            "shutdown" => match rest {
                [] => Ok(Command::Act(Act::Shutdown(""))),
                [how] if how.is(b"wait_for_servers") => {
                    Ok(Command::Act(Act::Shutdown("WAIT_FOR_SERVERS")))
                }
                [how] if how.is(b"wait_for_clients") => {
                    Ok(Command::Act(Act::Shutdown("WAIT_FOR_CLIENTS")))
                }
                _ => Err(unknown()),
            },
            "set" => set(rest, &word).ok_or_else(unknown)?,
            "select" => self.select(rest).ok_or_else(unknown),
            "begin" => Ok(Command::Begin("BEGIN", TransactionStatus::InTransaction)),
            "start" if rest.first().is_some_and(|token| token.is(b"transaction")) => {
                Ok(Command::Begin("START TRANSACTION", TransactionStatus::InTransaction))
            }
            "commit" | "end" => none(Command::Begin("COMMIT", TransactionStatus::Idle)),
            "rollback" | "abort" => none(Command::Begin("ROLLBACK", TransactionStatus::Idle)),
            "discard" if matches!(rest, [all] if all.is(b"all")) => {
                Ok(Command::Forget("DISCARD ALL", Forgotten::All))
            }
            "deallocate" => deallocate(rest).ok_or_else(unknown),
            "reset" if matches!(rest, [_]) => Ok(Command::Nothing("RESET")),
            "disable" | "enable" => Err(Complaint::console_unsupported(
                &verb.to_ascii_uppercase(),
                "databases are not declared here, so there is none to take back",
                "use PAUSE and RESUME, or KILL",
            )),
            "suspend" => Err(Complaint::console_unsupported(
                "SUSPEND",
                "buffers need not be flushed for a new process to take over",
                "use PAUSE, or start the new process with tidegate run --takeover",
            )),
            "wait_close" => Err(Complaint::console_unsupported(
                "WAIT_CLOSE",
                "RECONNECT replaces servers as they come free",
                "look at close_needed in SHOW SERVERS until it is 0 everywhere",
            )),
            _ => Err(unknown()),
        }
    }

    fn columns(&self, command: &Command) -> Option<Columns> {
        match command {
            Command::Show(table) => Some(table.columns(self.version)),
            Command::One(_, name, kind, _) => Some([column(name, *kind)].into()),
            Command::Act(_)
            | Command::Begin(..)
            | Command::Forget(..)
            | Command::Help
            | Command::Nothing(_)
            | Command::Set => None,
        }
    }
}

impl Commands {
    /// What SHOW is followed by; none where nobody knows it.
    fn show(
        &self,
        rest: &[Token<'_>],
        word: &dyn Fn(&Token<'_>) -> String,
    ) -> Option<Result<Command, Complaint>> {
        let words: Vec<String> = rest.iter().map(word).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let of = |tables: &[Table], word: &str| {
            tables.iter().copied().find(|table| table.as_str() == word)
        };
        match words[..] {
            ["help"] => Some(Ok(Command::Help)),
            ["fds"] => Some(Err(Complaint::console_unsupported(
                "SHOW FDS",
                "it would show what users prove their passwords with",
                "use SHOW SOCKETS, or tidegate run --takeover for what it was made for",
            ))),
            ["tidegate", table] => Some(
                of(&Table::TIDEGATES, table).map(Command::Show).ok_or_else(|| no_such_table(table)),
            ),
            ["tidegate"] => Some(Err(no_such_table(""))),
            [table] => match of(&Table::PGBOUNCERS, table) {
                Some(table) => Some(Ok(Command::Show(table))),
                None => self.parameter(table).map(Ok),
            },
            ["transaction", "isolation", "level"] => {
                self.parameter("transaction_isolation").map(Ok)
            }
            ["time", "zone"] => self.parameter("timezone").map(Ok),
            _ => None,
        }
    }

    /// What drivers ask for when they connect.
    fn parameter(&self, name: &str) -> Option<Command> {
        let (name, value) = match name {
            "client_encoding" => ("client_encoding", "UTF-8"),
            "datestyle" => ("datestyle", "ISO"),
            "default_transaction_isolation" => ("default_transaction_isolation", "read committed"),
            "default_transaction_read_only" => ("default_transaction_read_only", "off"),
            "server_encoding" => ("server_encoding", "UTF8"),
            "server_version" => ("server_version", self.release.as_str()),
            "standard_conforming_strings" => ("standard_conforming_strings", "on"),
            "timezone" => ("timezone", "GMT"),
            "transaction_isolation" => ("transaction_isolation", "read committed"),
            "transaction_read_only" => ("transaction_read_only", "off"),
            _ => return None,
        };
        Some(Command::One("SHOW", name, Type::Text, value.into()))
    }

    /// A number, or `version()`: what people and health checks ask.
    fn select(&self, rest: &[Token<'_>]) -> Option<Command> {
        let symbols = |tokens: &[Token<'_>]| {
            tokens
                .iter()
                .map(|token| match token {
                    Token::Symbol(byte) => Some(*byte),
                    _ => None,
                })
                .collect::<Option<Vec<u8>>>()
        };
        let rest = match rest {
            [schema, Token::Symbol(b'.'), rest @ ..] if schema.is(b"pg_catalog") => rest,
            rest => rest,
        };
        match rest {
            [version, Token::Symbol(b'('), Token::Symbol(b')')] if version.is(b"version") => Some(
                Command::One("SELECT 1", "version", Type::Text, version_text(&self.release).into()),
            ),
            digits => {
                let digits = String::from_utf8(symbols(digits)?).ok()?;
                let number: u32 = digits.parse().ok()?;
                i32::try_from(number).ok()?;
                Some(Command::One("SELECT 1", "?column?", Type::Int4, number.into()))
            }
        }
    }
}

/// What `SHOW VERSION` tells. Agents take the first number that looks like a version.
pub(super) fn version_text(release: &str) -> String {
    format!("PgBouncer {release} (Tidegate {})", env!("CARGO_PKG_VERSION"))
}

fn no_such_table(table: &str) -> Complaint {
    let known = Table::TIDEGATES.map(|table| table.as_str().to_ascii_uppercase()).join(", ");
    let what = match table {
        "" => "SHOW TIDEGATE without a table".to_owned(),
        _ => format!("SHOW TIDEGATE {}", table.to_ascii_uppercase()),
    };
    let remedy = format!("use SHOW TIDEGATE with one of {known}");
    Complaint::console_unsupported(&what, "this version has no such table", &remedy)
}

/// A database: a word, a name in quotes, or words with dots, digits, and dashes in between.
fn name(tokens: &[Token<'_>]) -> Option<Arc<str>> {
    let mut name = String::new();
    let mut was_word = false;
    for token in tokens {
        match token {
            Token::Word(word) if !was_word => {
                name.push_str(std::str::from_utf8(word).ok()?);
                was_word = true;
            }
            Token::Name(quoted) if tokens.len() == 1 => {
                name.push_str(&std::str::from_utf8(quoted).ok()?.replace("\"\"", "\""));
            }
            Token::Text { body, is_plain: true } if tokens.len() == 1 => {
                name.push_str(std::str::from_utf8(body).ok()?);
            }
            Token::Symbol(byte) if byte.is_ascii_digit() || b".-".contains(byte) => {
                name.push(char::from(*byte));
                was_word = false;
            }
            _ => return None,
        }
    }
    (!name.is_empty()).then(|| name.into())
}

/// What is behind DEALLOCATE: names as PostgreSQL takes them, in lower case unless they are in quotes.
fn deallocate(tokens: &[Token<'_>]) -> Option<Command> {
    let tokens = match tokens {
        [first, rest @ ..] if first.is(b"prepare") && !rest.is_empty() => rest,
        tokens => tokens,
    };
    let (tag, forgotten) = match tokens {
        [Token::Word(word)] if word.eq_ignore_ascii_case(b"all") => {
            ("DEALLOCATE ALL", Forgotten::All)
        }
        [Token::Word(word)] => {
            let name = String::from_utf8(word.to_ascii_lowercase()).ok()?;
            ("DEALLOCATE", Forgotten::One(name))
        }
        [Token::Name(_)] => ("DEALLOCATE", Forgotten::One(name(tokens)?.to_string())),
        _ => return None,
    };
    Some(Command::Forget(tag, forgotten))
}

/// A client: `17`, `17.4`, or either in quotes.
fn client(tokens: &[Token<'_>]) -> Option<(u32, Option<u32>)> {
    let text = name(tokens)?;
    let number = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
    };
    match text.split_once('.') {
        None => Some((number(&text)?, None)),
        Some((pid, serial)) => Some((number(pid)?, Some(number(serial)?))),
    }
}

/// Parameters of PostgreSQL that drivers set when they connect, and that mean nothing here.
const IGNORED: [&str; 24] = [
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "datestyle",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "idle_in_transaction_session_timeout",
    "intervalstyle",
    "jit",
    "lock_timeout",
    "names",
    "role",
    "row_security",
    "search_path",
    "session",
    "standard_conforming_strings",
    "statement_timeout",
    "synchronize_seqscans",
    "time",
    "timezone",
    "transaction",
    "transaction_isolation",
];

fn set(
    rest: &[Token<'_>],
    word: &dyn Fn(&Token<'_>) -> String,
) -> Option<Result<Command, Complaint>> {
    let rest = match rest {
        [scope, rest @ ..] if scope.is(b"local") => rest,
        [scope, rest @ ..]
            if scope.is(b"session")
                && !rest.first().is_some_and(|one| one.is(b"characteristics")) =>
        {
            rest
        }
        rest => rest,
    };
    let [key, _, ..] = rest else { return None };
    let key = word(key);
    if IGNORED.contains(&key.as_str()) {
        return Some(Ok(Command::Set));
    }
    let what = format!("SET {key}");
    Some(Err(Complaint::console_unsupported(
        &what,
        "settings stand in the settings file, where a restart finds them",
        "change the file, and say RELOAD; SHOW CONFIG tells what is in force",
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_session::sql::Tokens;

    fn parse(text: &str) -> Result<Command, Complaint> {
        let commands = Commands { version: ConsoleVersion::V1_18, release: "1.18.0".to_owned() };
        let tokens: Vec<_> = Tokens::new(text.as_bytes()).collect();
        commands.parse(&tokens, text)
    }

    fn of(name: &str) -> Scope {
        Scope::Database(name.into())
    }

    #[test]
    fn commands_are_understood_as_people_write_them() {
        let pause = |scope| Command::Act(Act::Pools(Pools::Pause, scope));
        for (text, expected) in [
            ("SHOW POOLS", Command::Show(Table::Pools)),
            ("show /* the */ pools -- all", Command::Show(Table::Pools)),
            ("Show Tidegate Budget", Command::Show(Table::Budget)),
            ("PAUSE", pause(Scope::All)),
            ("pause my-db.2", pause(of("my-db.2"))),
            ("PAUSE \"My \"\"db\"\"\"", pause(of("My \"db\""))),
            ("PAUSE App", pause(of("App"))),
            ("KILL_CLIENT 17", Command::Act(Act::KillClient(17, None))),
            ("kill_client 17.4", Command::Act(Act::KillClient(17, Some(4)))),
            ("KILL_CLIENT '17.4'", Command::Act(Act::KillClient(17, Some(4)))),
            ("SHUTDOWN WAIT_FOR_CLIENTS", Command::Act(Act::Shutdown("WAIT_FOR_CLIENTS"))),
            ("SET extra_float_digits = 3", Command::Set),
            ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", Command::Set),
            ("set session datestyle to 'ISO'", Command::Set),
            ("SET TIME ZONE 'UTC'", Command::Set),
            ("deallocate ALL", Command::Forget("DEALLOCATE ALL", Forgotten::All)),
            ("DEALLOCATE \"S_1\"", Command::Forget("DEALLOCATE", Forgotten::One("S_1".to_owned()))),
            ("SELECT 1", Command::One("SELECT 1", "?column?", Type::Int4, Cell::Number(1))),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_with_what_there_is() {
        for (text, code) in [
            ("SHOW", "TG041"),
            ("SHOW FOO", "TG041"),
            ("PAUSE a b", "TG041"),
            ("KILL", "TG041"),
            ("KILL_CLIENT x", "TG041"),
            ("RELOAD now", "TG041"),
            ("SELECT now()", "TG041"),
            ("SELECT 99999999999", "TG041"),
            ("SHUTDOWN NOW", "TG041"),
            ("SET", "TG041"),
            ("SHOW FDS", "TG042"),
            ("SET default_pool_size = 7", "TG042"),
            ("DISABLE app", "TG042"),
            ("SUSPEND", "TG042"),
            ("SHOW TIDEGATE LEDGER", "TG042"),
        ] {
            let complaint = parse(text).expect_err(text);
            assert_eq!(complaint.code.as_str(), code, "{text}");
        }
        let complaint = parse("SHOW TIDEGATE LEDGER").expect_err("there is none");
        let hint = complaint.hint.expect("a remedy");
        assert!(hint.contains("BUDGET, HOLDERS, PINS, VERDICT"), "{hint}");
    }
}
