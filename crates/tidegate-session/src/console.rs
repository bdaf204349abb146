//! The console: a session that no database answers, over the simple and the extended protocol.
//!
//! The machine knows the protocol and no command. A [`Language`] says what a statement means and which
//! columns it has; whoever owns the machine carries out what [`Step::Run`] asks for, however long that
//! takes, and gives it the [`Answer`]. Until then the machine does nothing more: statements are answered
//! one after another, as PostgreSQL does.
//!
//! ```text
//!  Resting --Query--> Running --answered, more of it--> Running --answered--> Resting
//!  Resting --Execute--> Running --answered--> Resting
//!  Resting --error in the extended protocol--> Skipping --Sync--> Resting
//! ```
//!
//! What differs from PostgreSQL: an error does not abort a transaction, as there is nothing to be
//! undone; BEGIN and COMMIT are words for drivers that can't do without.
//!
//! Bounds: a message has [`MESSAGE_BYTES_MAX`], a session keeps [`KEPT_MAX`] statements and as many
//! portals.

pub mod table;

use std::collections::BTreeMap;
use std::collections::VecDeque;

use tidegate_wire::backend::{
    self, Message as Reply, Report, Severity, Tag as ReplyTag, TransactionStatus,
};
use tidegate_wire::catalogue::Complaint;
use tidegate_wire::frame::{Front, HEADER_BYTES, front};
use tidegate_wire::frontend::{Message, Tag, Target};
use tidegate_wire::sqlstate::SqlState;

use crate::sql::{Token, Tokens};

use table::{Columns, Format, Formats, Row, push_columns, push_row};

/// Commands are a line; psql's own questions about a database, which are answered with an error, have
/// some kilobytes.
pub const MESSAGE_BYTES_MAX: u64 = 64 * 1024;

/// Statements that a driver keeps prepared; asyncpg keeps 100 by itself.
pub const KEPT_MAX: usize = 256;

/// Statements of one query; each costs a round of the gate's control plane.
const STATEMENTS_MAX: usize = 64;

/// What the console understands.
pub trait Language {
    /// A statement that is understood.
    type Command: Clone;

    /// What a statement means. `text` is the whole query that it is part of.
    ///
    /// # Errors
    /// It is not understood, or not allowed.
    fn parse(&self, statement: &[Token<'_>], text: &str) -> Result<Self::Command, Complaint>;

    /// The columns of its rows, if it has any.
    fn columns(&self, command: &Self::Command) -> Option<Columns>;
}

/// What a command has come to.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What is told beside it: a message, and a detail.
    pub notices: Vec<(String, Option<String>)>,
    /// What is done, or why it is not.
    pub outcome: Result<Done, Complaint>,
}

/// A command that was carried out.
#[derive(Debug, Clone, Default)]
pub struct Done {
    /// Its tag.
    pub tag: String,
    /// Rows, under the columns that the language tells.
    pub rows: Vec<Row>,
    /// Where the session stands from now on, if that is new.
    pub status: Option<TransactionStatus>,
    /// Prepared statements that are forgotten.
    pub forgotten: Option<Forgotten>,
}

/// Prepared statements that a command forgets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forgotten {
    /// All of them.
    All,
    /// The one with this name, if there is one.
    One(String),
}

impl From<Done> for Answer {
    fn from(done: Done) -> Self {
        Self { notices: Vec::new(), outcome: Ok(done) }
    }
}

impl From<Complaint> for Answer {
    fn from(complaint: Complaint) -> Self {
        Self { notices: Vec::new(), outcome: Err(complaint) }
    }
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<C> {
    /// Nothing before more has come.
    More,
    /// This; then [`ConsoleMachine::answered`] goes on.
    Run(C),
    /// The client has said goodbye.
    Goodbye,
    /// The client broke the protocol, was told so, and is to be closed.
    Broken,
}

struct Statement<C> {
    /// None for an empty one.
    command: Option<C>,
    /// The types that the client fixed for parameters, which nothing uses.
    parameter_types: Box<[u8]>,
}

struct Portal<C> {
    command: Option<C>,
    formats: Formats,
    /// Rows that were not asked for yet, and the tag behind them, once it has run.
    rest: Option<(VecDeque<Row>, String)>,
}

enum State<C> {
    Resting,
    /// Everything up to a Sync is passed over.
    Skipping,
    /// A command of a Query, with those that follow it.
    Query(C, VecDeque<C>),
    /// An Execute.
    Portal(Box<[u8]>, i32),
}

/// A session of the console.
pub struct ConsoleMachine<L: Language> {
    language: L,
    state: State<L::Command>,
    status: TransactionStatus,
    unread: Vec<u8>,
    statements: BTreeMap<Box<[u8]>, Statement<L::Command>>,
    portals: BTreeMap<Box<[u8]>, Portal<L::Command>>,
}

/// An error in PostgreSQL's own words.
struct Fault(SqlState, String);

enum Refusal {
    Ours(Complaint),
    Postgres(Fault),
}

impl From<Complaint> for Refusal {
    fn from(complaint: Complaint) -> Self {
        Self::Ours(complaint)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Postgres(fault)
    }
}

impl Refusal {
    fn push(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ours(complaint) => complaint.encode(Severity::Error, out),
            Self::Postgres(Fault(sqlstate, message)) => {
                let (severity, sqlstate) = (Severity::Error, *sqlstate);
                backend::push_error(
                    out,
                    &Report { severity, sqlstate, message, detail: None, hint: None },
                );
            }
        }
    }
}

impl<L: Language> ConsoleMachine<L> {
    /// A client that has logged in.
    pub fn new(language: L) -> Self {
        Self {
            language,
            state: State::Resting,
            status: TransactionStatus::Idle,
            unread: Vec::new(),
            statements: BTreeMap::new(),
            portals: BTreeMap::new(),
        }
    }

    /// The client has sent something. [`ConsoleMachine::step`] says what is to be done.
    pub fn receive(&mut self, input: &[u8]) {
        self.unread.extend_from_slice(input);
    }

    /// Goes on with what has come, unless a command is being carried out.
    pub fn step(&mut self, out: &mut Vec<u8>) -> Step<L::Command> {
        loop {
            if let State::Query(..) | State::Portal(..) = self.state {
                return Step::More;
            }
            let bytes = match front(&self.unread, MESSAGE_BYTES_MAX) {
                Ok(Front::Partial) => return Step::More,
                Ok(Front::Frame { frame_bytes, .. }) => {
                    usize::try_from(frame_bytes).unwrap_or(usize::MAX)
                }
                Err(error) => return broken(out, &error.to_string()),
            };
            if bytes > self.unread.len() {
                return Step::More;
            }
            let rest = self.unread.split_off(bytes);
            let frame = std::mem::replace(&mut self.unread, rest);
            if let Some(step) = self.frame(&frame, out) {
                return step;
            }
        }
    }

    fn frame(&mut self, frame: &[u8], out: &mut Vec<u8>) -> Option<Step<L::Command>> {
        let (Some(tag), Some(body)) = (frame.first(), frame.get(HEADER_BYTES..)) else {
            return Some(broken(out, "it is cut"));
        };
        let Some(tag) = Tag::from_byte(*tag) else {
            return Some(broken(out, "it has a tag that there is not"));
        };
        if matches!(self.state, State::Skipping) && !matches!(tag, Tag::Sync | Tag::Terminate) {
            return None;
        }
        let message = match Message::decode(tag, body) {
            Ok(message) => message,
            Err(error) => return Some(broken(out, &error.to_string())),
        };
        let done = match message {
            Message::Query(text) => return self.query(text, out),
            Message::Terminate => return Some(Step::Goodbye),
            Message::Sync => {
                self.state = State::Resting;
                if self.status == TransactionStatus::Idle {
                    self.portals.clear();
                }
                backend::push_ready(out, self.status);
                Ok(None)
            }
            Message::Parse { name, text, parameter_types } => {
                self.prepare(name, text, parameter_types, out).map(|()| None)
            }
            Message::Bind { portal, statement, rest } => {
                self.bind(portal, statement, rest, out).map(|()| None)
            }
            Message::Describe { target, name } => self.describe(target, name, out).map(|()| None),
            Message::Execute { portal, rows_max } => self.execute(portal, rows_max, out),
            Message::Close { target, name } => {
                match target {
                    Target::Statement => drop(self.statements.remove(name)),
                    Target::Portal => drop(self.portals.remove(name)),
                }
                backend::push_bare(out, ReplyTag::CloseComplete);
                Ok(None)
            }
            // Nothing is held back, and what follows the end of a COPY that failed is passed over.
            Message::Flush | Message::CopyData(_) | Message::CopyDone | Message::CopyFail(_) => {
                Ok(None)
            }
            Message::FunctionCall(_) => {
                let no = Fault(SqlState::FEATURE_NOT_SUPPORTED, "no functions here".to_owned());
                Refusal::from(no).push(out);
                backend::push_ready(out, self.status);
                Ok(None)
            }
            Message::Password(_) => return Some(broken(out, "nobody has asked for a password")),
        };
        match done {
            Ok(step) => step,
            Err(refusal) => {
                refusal.push(out);
                self.state = State::Skipping;
                None
            }
        }
    }

    /// What a text says, statement by statement.
    fn understand(&self, text: &[u8]) -> Result<VecDeque<L::Command>, Refusal> {
        let Ok(whole) = std::str::from_utf8(text) else {
            let message = "invalid byte sequence for encoding \"UTF8\"".to_owned();
            return Err(Fault(SqlState::CHARACTER_NOT_IN_REPERTOIRE, message).into());
        };
        let tokens: Vec<Token<'_>> = Tokens::new(text).collect();
        let statements = tokens.split(|token| *token == Token::Symbol(b';'));
        let mut commands = VecDeque::new();
        for statement in statements.filter(|statement| !statement.is_empty()) {
            if commands.len() >= STATEMENTS_MAX {
                let message = format!("a query may have {STATEMENTS_MAX} statements here");
                return Err(Fault(SqlState::PROGRAM_LIMIT_EXCEEDED, message).into());
            }
            commands.push_back(self.language.parse(statement, whole.trim())?);
        }
        Ok(commands)
    }

    fn query(&mut self, text: &[u8], out: &mut Vec<u8>) -> Option<Step<L::Command>> {
        match self.understand(text) {
            Ok(commands) => {
                if commands.is_empty() {
                    backend::push_empty_query_response(out);
                }
                self.next_of_query(commands, out)
            }
            Err(refusal) => {
                refusal.push(out);
                self.next_of_query(VecDeque::new(), out)
            }
        }
    }

    fn next_of_query(
        &mut self,
        mut commands: VecDeque<L::Command>,
        out: &mut Vec<u8>,
    ) -> Option<Step<L::Command>> {
        match commands.pop_front() {
            Some(command) => {
                self.state = State::Query(command.clone(), commands);
                Some(Step::Run(command))
            }
            None => {
                self.state = State::Resting;
                backend::push_ready(out, self.status);
                None
            }
        }
    }

    fn prepare(
        &mut self,
        name: &[u8],
        text: &[u8],
        parameter_types: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let mut commands = self.understand(text)?;
        if commands.len() > 1 {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(Fault(SqlState::SYNTAX_ERROR, message.to_owned()).into());
        }
        if !name.is_empty() && self.statements.contains_key(name) {
            let name = String::from_utf8_lossy(name);
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(Fault(SqlState::DUPLICATE_PREPARED_STATEMENT, message).into());
        }
        has_room(&self.statements, name, "prepared statements")?;
        let command = commands.pop_front();
        let statement = Statement { command, parameter_types: parameter_types.into() };
        self.statements.insert(name.into(), statement);
        backend::push_bare(out, ReplyTag::ParseComplete);
        Ok(())
    }

    fn statement(&self, name: &[u8]) -> Result<&Statement<L::Command>, Refusal> {
        self.statements.get(name).ok_or_else(|| {
            let message = match name {
                b"" => "unnamed prepared statement does not exist".to_owned(),
                _ => {
                    let name = String::from_utf8_lossy(name);
                    format!("prepared statement \"{name}\" does not exist")
                }
            };
            Fault(SqlState::INVALID_SQL_STATEMENT_NAME, message).into()
        })
    }

    fn bind(
        &mut self,
        portal: &[u8],
        name: &[u8],
        rest: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let statement = self.statement(name)?;
        let cut = || Fault(SqlState::PROTOCOL_VIOLATION, "invalid message format".to_owned());
        let (values, formats) = bound(rest).ok_or_else(cut)?;
        let wanted = statement.parameter_types.len() / 4;
        if values != wanted {
            let name = String::from_utf8_lossy(name);
            let message = format!(
                "bind message supplies {values} parameters, but prepared statement \"{name}\" \
                 requires {wanted}"
            );
            return Err(Fault(SqlState::PROTOCOL_VIOLATION, message).into());
        }
        let command = statement.command.clone();
        let columns = command.as_ref().and_then(|command| self.language.columns(command));
        let columns = columns.map_or(0, |columns| columns.len());
        if columns > 0 && !formats.fit(columns) {
            let given = formats.0.len();
            let message =
                format!("bind message has {given} result formats but query has {columns} columns");
            return Err(Fault(SqlState::PROTOCOL_VIOLATION, message).into());
        }
        has_room(&self.portals, portal, "portals")?;
        self.portals.insert(portal.into(), Portal { command, formats, rest: None });
        backend::push_bare(out, ReplyTag::BindComplete);
        Ok(())
    }

    fn describe(&self, target: Target, name: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        let text = Formats::default();
        let (command, formats) = match target {
            Target::Statement => {
                let statement = self.statement(name)?;
                let count = u16::try_from(statement.parameter_types.len() / 4).unwrap_or(0);
                let body = [&count.to_be_bytes()[..], &statement.parameter_types].concat();
                backend::push_parameter_description(out, &body);
                (&statement.command, &text)
            }
            Target::Portal => {
                let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
                (&portal.command, &portal.formats)
            }
        };
        match command.as_ref().and_then(|command| self.language.columns(command)) {
            Some(columns) => push_columns(out, &columns, formats),
            None => backend::push_bare(out, ReplyTag::NoData),
        }
        Ok(())
    }

    fn execute(
        &mut self,
        name: &[u8],
        rows_max: i32,
        out: &mut Vec<u8>,
    ) -> Result<Option<Step<L::Command>>, Refusal> {
        let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
        let Some(command) = portal.command.clone() else {
            backend::push_empty_query_response(out);
            return Ok(None);
        };
        if portal.rest.is_some() {
            self.push_rows(name, rows_max, out);
            return Ok(None);
        }
        self.state = State::Portal(name.into(), rows_max);
        Ok(Some(Step::Run(command)))
    }

    /// Rows of a portal that has run, and what follows them.
    fn push_rows(&mut self, name: &[u8], rows_max: i32, out: &mut Vec<u8>) {
        let Some(portal) = self.portals.get_mut(name) else { return };
        let columns = portal.command.as_ref().and_then(|command| self.language.columns(command));
        let Some((rows, tag)) = &mut portal.rest else { return };
        let count = match usize::try_from(rows_max) {
            Ok(max) if max > 0 => max.min(rows.len()),
            _ => rows.len(),
        };
        let is_limited = rows_max > 0 && count < rows.len();
        for row in rows.drain(..count) {
            push_row(out, columns.as_deref().unwrap_or_default(), &row, &portal.formats);
        }
        match is_limited {
            true => backend::push_bare(out, ReplyTag::PortalSuspended),
            false => backend::push_command_complete(out, tag.as_bytes()),
        }
    }

    /// The command of the last [`Step::Run`] has been carried out, or not. Then
    /// [`ConsoleMachine::step`] goes on.
    pub fn answered(&mut self, answer: Answer, out: &mut Vec<u8>) -> Option<Step<L::Command>> {
        for (message, detail) in &answer.notices {
            let (severity, sqlstate) = (Severity::Notice, SqlState::SUCCESSFUL_COMPLETION);
            let detail = detail.as_deref();
            backend::push_notice(out, &Report { severity, sqlstate, message, detail, hint: None });
        }
        if let Ok(Done { status: Some(status), .. }) = &answer.outcome {
            self.status = *status;
        }
        match &answer.outcome {
            Ok(Done { forgotten: Some(Forgotten::All), .. }) => self.statements.clear(),
            Ok(Done { forgotten: Some(Forgotten::One(name)), .. }) => {
                self.statements.remove(name.as_bytes());
            }
            _ => {}
        }
        match (std::mem::replace(&mut self.state, State::Resting), answer.outcome) {
            (State::Query(command, rest), Ok(done)) => {
                if let Some(columns) = self.language.columns(&command) {
                    let text = Formats::default();
                    push_columns(out, &columns, &text);
                    done.rows.iter().for_each(|row| push_row(out, &columns, row, &text));
                }
                backend::push_command_complete(out, done.tag.as_bytes());
                self.next_of_query(rest, out)
            }
            (State::Query(..), Err(complaint)) => {
                complaint.encode(Severity::Error, out);
                self.next_of_query(VecDeque::new(), out)
            }
            (State::Portal(name, rows_max), Ok(done)) => {
                if let Some(portal) = self.portals.get_mut(&name) {
                    portal.rest = Some((done.rows.into(), done.tag));
                }
                self.push_rows(&name, rows_max, out);
                None
            }
            (State::Portal(..), Err(complaint)) => {
                complaint.encode(Severity::Error, out);
                self.state = State::Skipping;
                None
            }
            (state @ (State::Resting | State::Skipping), _) => {
                self.state = state;
                None
            }
        }
    }
}

fn broken<C>(out: &mut Vec<u8>, why: &str) -> Step<C> {
    Complaint::client_protocol_violation(why).encode(Severity::Fatal, out);
    Step::Broken
}

fn no_portal(name: &[u8]) -> Fault {
    let name = String::from_utf8_lossy(name);
    Fault(SqlState::INVALID_CURSOR_NAME, format!("portal \"{name}\" does not exist"))
}

fn has_room<V>(kept: &BTreeMap<Box<[u8]>, V>, name: &[u8], what: &str) -> Result<(), Fault> {
    if kept.len() < KEPT_MAX || kept.contains_key(name) {
        return Ok(());
    }
    let message = format!("a session of the console keeps {KEPT_MAX} {what}");
    Err(Fault(SqlState::PROGRAM_LIMIT_EXCEEDED, message))
}

/// How many values a Bind has, and the formats that it asks for. None where it is malformed.
fn bound(rest: &[u8]) -> Option<(usize, Formats)> {
    let (_, rest) = codes(rest)?;
    let (count, mut rest) = word(rest)?;
    for _ in 0..count {
        let (length, behind) = rest.split_first_chunk()?;
        rest = match usize::try_from(i32::from_be_bytes(*length)) {
            Ok(length) => behind.get(length..)?,
            Err(_) => behind, // NULL.
        };
    }
    let (codes, rest) = codes(rest)?;
    if !rest.is_empty() {
        return None;
    }
    let format = |code: u16| match code {
        0 => Some(Format::Text),
        1 => Some(Format::Binary),
        _ => None,
    };
    let formats = codes.into_iter().map(format).collect::<Option<Vec<_>>>()?;
    Some((usize::from(count), Formats(formats)))
}

fn codes(bytes: &[u8]) -> Option<(Vec<u16>, &[u8])> {
    let (count, mut rest) = word(bytes)?;
    let mut codes = Vec::new();
    for _ in 0..count {
        let (code, behind) = word(rest)?;
        codes.push(code);
        rest = behind;
    }
    Some((codes, rest))
}

fn word(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (word, rest) = bytes.split_first_chunk()?;
    Some((u16::from_be_bytes(*word), rest))
}

/// Appends the ParameterStatus messages that a client of the console is told, and a ReadyForQuery.
/// `release` is that of the PgBouncer whose console this one is like.
pub fn welcome(release: &str, out: &mut Vec<u8>) {
    let version = format!("{release}/bouncer");
    for (name, value) in [
        ("server_version", version.as_str()),
        ("client_encoding", "UTF8"),
        ("server_encoding", "UTF8"),
        ("DateStyle", "ISO"),
        ("TimeZone", "GMT"),
        ("standard_conforming_strings", "on"),
        ("is_superuser", "on"),
    ] {
        let (name, value) = (name.as_bytes(), value.as_bytes());
        let _ = Reply::ParameterStatus { name, value }.encode(out);
    }
    backend::push_ready(out, TransactionStatus::Idle);
}
