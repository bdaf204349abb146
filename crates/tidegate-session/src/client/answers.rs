//! What a client is answered without a server: transactions that have only begun, probes, and
//! transactions that have failed because no server came free.
//!
//! A BEGIN is confirmed at once and sent with the first statement that needs a server, so an
//! application that begins and then thinks holds none. If it never sends such a statement, COMMIT
//! and ROLLBACK are confirmed too. What differs from PostgreSQL: the transaction's time (`now()`)
//! and snapshot are those of its first statement.

use tidegate_wire::backend::{self, Report, Severity, Tag as BackendTag, TransactionStatus};
use tidegate_wire::frame::{Front, HEADER_BYTES, front};
use tidegate_wire::frontend::Tag;
use tidegate_wire::sqlstate::SqlState;

use super::probe::Probe;
use crate::pieces::Pieces;
use crate::prepared::Environment;
use crate::prepared::client::ClientStatements;
use crate::prepared::interner::Library;
use crate::server::naming::{Message, Subject};
use crate::splitter::FRAME_BYTES_MAX;

/// What may be answered without a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probes {
    /// Everything goes to PostgreSQL.
    Off,
    /// BEGIN, the empty query, and the end of a transaction that has only begun.
    Begin,
    /// `SELECT 1` too.
    All,
}

/// How a client without a server is answered.
pub struct Answers<'a> {
    /// What may be answered.
    pub probes: Probes,
    /// Whether PostgreSQL would answer: a probe that is answered in its stead must not hide that it
    /// is away. Asked only when there is a probe.
    pub is_healthy: &'a dyn Fn() -> bool,
    /// What the client's settings make of a statement.
    pub environment: &'a Environment,
    /// Where statements are kept; none where they are not.
    pub library: Option<&'a mut dyn Library>,
}

impl<'a> Answers<'a> {
    /// Nothing is answered in PostgreSQL's stead.
    pub fn none(environment: &'a Environment) -> Self {
        Self { probes: Probes::Off, is_healthy: &|| false, environment, library: None }
    }
}

/// The transaction of a client that has no server.
#[derive(Debug, Default)]
pub(super) enum Transaction {
    #[default]
    None,
    /// It was told that its transaction has begun; with the statement.
    Begun(Box<[u8]>),
    /// It got no server, so its transaction has failed.
    Failed,
    /// It has failed, and a message has ended it whose batch still waits for its Sync.
    Ended,
}

impl Transaction {
    pub(super) fn status(&self) -> TransactionStatus {
        match self {
            Self::None | Self::Ended => TransactionStatus::Idle,
            Self::Begun(_) => TransactionStatus::InTransaction,
            Self::Failed => TransactionStatus::Failed,
        }
    }

    pub(super) fn is_failed(&self) -> bool {
        matches!(self, Self::Failed | Self::Ended)
    }

    /// No server came free for it. What has only begun has failed; where nothing has begun, nothing
    /// has.
    pub(super) fn fails(&mut self) {
        if let Self::Begun(_) = self {
            *self = Self::Failed;
        }
    }

    /// A batch has ended.
    pub(super) fn synced(&mut self) {
        if let Self::Ended = self {
            *self = Self::None;
        }
    }

    /// The BEGIN that a server must be sent before anything else.
    pub(super) fn take_begun(&mut self) -> Option<Box<[u8]>> {
        match std::mem::take(self) {
            Self::Begun(statement) => Some(statement),
            other => {
                *self = other;
                None
            }
        }
    }

    /// Answers a query of the simple protocol; false when it needs a server.
    pub(super) fn answer_query(
        &mut self,
        text: &[u8],
        answers: &Answers<'_>,
        reply: &mut Pieces,
    ) -> bool {
        let probe = Probe::of(text);
        let may_answer = |probes: Probes| {
            answers.probes == Probes::All
                || answers.probes == Probes::Begin && probes == Probes::Begin
        };
        let complete = |tag: &[u8], reply: &mut Pieces| {
            reply.own(|out| backend::push_command_complete(out, tag));
        };
        match (&*self, probe) {
            (Self::Failed, Some(Probe::Commit | Probe::Rollback)) => {
                complete(b"ROLLBACK", reply);
                *self = Self::None;
            }
            (Self::Begun(_), Some(Probe::Commit)) => {
                complete(b"COMMIT", reply);
                *self = Self::None;
            }
            (Self::Begun(_), Some(Probe::Rollback)) => {
                complete(b"ROLLBACK", reply);
                *self = Self::None;
            }
            (Self::Failed, Some(Probe::Empty)) => reply.own(backend::push_empty_query_response),
            (Self::Failed, _) => push_failed(reply),
            (Self::None | Self::Ended, Some(Probe::Begin(tag)))
                if may_answer(Probes::Begin) && (answers.is_healthy)() =>
            {
                complete(tag, reply);
                *self = Self::Begun(text.strip_suffix(b"\0").unwrap_or(text).into());
            }
            (_, Some(Probe::Empty)) if may_answer(Probes::Begin) && (answers.is_healthy)() => {
                reply.own(backend::push_empty_query_response);
            }
            (_, Some(Probe::One)) if may_answer(Probes::All) && (answers.is_healthy)() => {
                reply.own_bytes(ONE);
                complete(b"SELECT 1", reply);
            }
            _ => return false,
        }
        let status = self.status();
        reply.own(|out| backend::push_ready(out, status));
        true
    }

    /// Answers a message of a batch while the transaction has failed, as PostgreSQL does. False
    /// when the batch fails with it.
    pub(super) fn answer_failed(&mut self, tag: Tag, body: &[u8], reply: &mut Pieces) -> bool {
        let bare = |reply: &mut Pieces, tag| reply.own(|out| backend::push_bare(out, tag));
        match (&*self, tag) {
            (Self::Failed, Tag::Parse) if ends_transaction(body) => {
                bare(reply, BackendTag::ParseComplete);
                *self = Self::Ended;
            }
            (_, Tag::Close) => bare(reply, BackendTag::CloseComplete),
            (Self::Ended, Tag::Bind) => bare(reply, BackendTag::BindComplete),
            (Self::Ended, Tag::Describe) => {
                if body.first() == Some(&b'S') {
                    reply.own_bytes(NO_PARAMETERS);
                }
                bare(reply, BackendTag::NoData);
            }
            (Self::Ended, Tag::Execute) => {
                reply.own(|out| backend::push_command_complete(out, b"ROLLBACK"));
            }
            _ => {
                push_failed(reply);
                return false;
            }
        }
        true
    }
}

/// A ParameterDescription without parameters.
const NO_PARAMETERS: &[u8] = b"t\0\0\0\x06\0\0";

/// What PostgreSQL answers `SELECT 1`: a column `?column?` of type int4, and the row.
const ONE: &[u8] = b"T\0\0\0\x21\0\x01?column?\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0\
    D\0\0\0\x0b\0\x01\0\0\0\x011";

fn push_failed(reply: &mut Pieces) {
    reply.own(|out| {
        backend::push_error(
            out,
            &Report {
                severity: Severity::Error,
                sqlstate: SqlState::IN_FAILED_SQL_TRANSACTION,
                message: "current transaction is aborted, commands ignored until end of \
                          transaction block",
                detail: None,
                hint: None,
            },
        );
    });
}

/// Whether a Parse defines a statement that ends a failed transaction.
fn ends_transaction(body: &[u8]) -> bool {
    let mut strings = body.split(|byte| *byte == 0);
    let text = strings.nth(1).unwrap_or_default();
    matches!(Probe::of(text), Some(Probe::Commit | Probe::Rollback))
}

/// Answers a batch, with the Sync or Flush that ends it, that does nothing but run empty statements,
/// as a driver does that pings. False when it needs a server.
pub(super) fn answer_empty_batch(
    batch: &[u8],
    transaction: &Transaction,
    answers: &mut Answers<'_>,
    names: &mut ClientStatements,
    reply: &mut Pieces,
) -> bool {
    // One that begins with a Bind uses a statement that was prepared before.
    let may_be = match batch.first() {
        Some(b'B') => names.has_empty(),
        Some(b'P') => true,
        _ => false,
    } && answers.probes != Probes::Off;
    let Some(library) = answers.library.as_mut().filter(|_| may_be) else { return false };
    let Some(messages) = empty_batch(batch, names) else { return false };
    if !(answers.is_healthy)() {
        return false;
    }
    for (tag, subject, body) in messages {
        let bare = |reply: &mut Pieces, tag| reply.own(|out| backend::push_bare(out, tag));
        match (tag, subject) {
            (Tag::Parse, Subject::Parse { name, definition: Some(definition) }) => {
                let statement = library.intern(Some(answers.environment), definition);
                names.note_empty();
                names.parse_sent(name, &statement);
                names.settled(true);
                bare(reply, BackendTag::ParseComplete);
            }
            (Tag::Bind, _) => bare(reply, BackendTag::BindComplete),
            (Tag::Describe, _) => {
                if body.first() == Some(&b'S') {
                    reply.own_bytes(NO_PARAMETERS);
                }
                bare(reply, BackendTag::NoData);
            }
            (Tag::Execute, _) => reply.own(backend::push_empty_query_response),
            (Tag::Sync, _) => {
                names.batch_sent();
                reply.own(|out| backend::push_ready(out, transaction.status()));
            }
            _ => {}
        }
    }
    true
}

/// The messages of a batch that runs nothing but empty statements.
fn empty_batch<'a>(
    bytes: &'a [u8],
    names: &ClientStatements,
) -> Option<Vec<(Tag, Subject<'a>, &'a [u8])>> {
    let mut at = 0;
    let mut batch = Vec::new();
    let mut defined: Vec<&[u8]> = Vec::new();
    while at < bytes.len() {
        let Ok(Front::Frame { tag, frame_bytes }) = front(bytes.get(at..)?, FRAME_BYTES_MAX) else {
            return None;
        };
        let end = at.checked_add(usize::try_from(frame_bytes).ok()?)?;
        let body = bytes.get(at + HEADER_BYTES..end)?;
        let tag = Tag::from_byte(tag)?;
        let body_bytes = u64::try_from(body.len()).ok()?;
        let subject = Message { tag, body_bytes, body, place: None }.subject();
        let is_known = |name: &[u8]| {
            defined.contains(&name)
                || names.get(name).is_some_and(|named| named.statement.is_empty())
        };
        match (tag, subject) {
            (Tag::Parse, Subject::Parse { name, definition: Some(definition) }) => {
                if !is_empty(definition) || !names.has_room_for(name, definition) {
                    return None;
                }
                if names.get(name).is_some() || defined.contains(&name) {
                    return None;
                }
                defined.push(name);
            }
            (Tag::Bind, Subject::Bind { portal: b"", name })
                if is_known(name) && has_no_values(body.get(name.len() + 2..)?) => {}
            (Tag::Describe, Subject::Describe { name }) if is_known(name) => {}
            (Tag::Describe, _) if body == b"P\0" && has_bound(&batch) => {}
            (Tag::Execute, _) if body.first() == Some(&0) && has_bound(&batch) => {}
            (Tag::Sync | Tag::Flush, _) => {}
            _ => return None,
        }
        batch.push((tag, subject, body));
        at = end;
    }
    Some(batch)
}

fn has_bound(batch: &[(Tag, Subject<'_>, &[u8])]) -> bool {
    batch.iter().any(|(tag, ..)| *tag == Tag::Bind)
}

/// Whether what is behind the names in a Bind brings no values.
fn has_no_values(rest: &[u8]) -> bool {
    let Some((&[high, low], rest)) = rest.split_first_chunk() else { return false };
    let formats = usize::from(u16::from_be_bytes([high, low]));
    formats <= 1 && rest.get(formats * 2..).is_some_and(|rest| rest.starts_with(&[0, 0]))
}

/// Whether a definition, text and parameter types, is that of an empty statement.
fn is_empty(definition: &[u8]) -> bool {
    let mut parts = definition.splitn(2, |byte| *byte == 0);
    let text = parts.next().unwrap_or_default();
    Probe::of(text) == Some(Probe::Empty) && parts.next() == Some(&[0, 0])
}
