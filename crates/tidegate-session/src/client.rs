//! The machine of a client that has logged in: what it wants, and what of it goes to a server.
//!
//! Without a server it *gathers*: it collects the front of a batch until there is something that
//! a server can answer, and answers itself what needs none. With a server it *relays*: each
//! frame is counted as owed, looked at where it may leave state behind, and forwarded. Refused a
//! server, it answers in the server's stead and the client can go on.
//!
//! An idle client owns no buffer.
//!
//! - [`answers`]: what it is answered without a server.
//! - [`moving`]: what of it goes along when another process takes it over.

pub mod moving;
pub mod answers;
mod plain_read;
mod probe;

use std::ops::Range;

use tidegate_wire::backend::{self, Severity, TransactionStatus};
use tidegate_wire::catalogue::Complaint;
use tidegate_wire::frame::{FrameError, Front, HEADER_BYTES, front};
use tidegate_wire::frontend::{self, Tag};

use crate::client::answers::{Answers, Transaction, answer_empty_batch};
use crate::pieces::Pieces;
use crate::prepared::Environment;
use crate::prepared::client::ClientStatements;
use crate::prepared::interner::Library;
use crate::server::ServerMachine;
use crate::server::naming::{Followed, Following, Message, Place, Step, Subject};
use crate::sniff::Sniffer;
use crate::splitter::{FRAME_BYTES_MAX, Part, Splitter};
use crate::traces::Traces;

/// A batch that is larger than this asks for a server before it is complete; the rest is streamed.
/// Most batches are a few hundred bytes; ten thousand clients in mid-batch hold 160 MB at worst.
pub const GATHERED_BYTES_MAX: usize = 16 * 1024;

/// A Query of at most this length is looked at as a whole before it is passed on, which costs
/// nothing: PostgreSQL does not begin with a part of one. It is what a batch may have before it asks
/// for a server, so most come whole anyway.
const QUERY_BYTES_MAX: u64 = 16 * 1024;

/// As much is looked at of a message that is passed on whatever it says: all of a Query of that
/// length, and the names at the front of a Bind.
const PASSING_BYTES_MAX: usize = 16 * 1024;

/// The client broke the protocol; it can't be followed any further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientFault {
    /// A frame that PostgreSQL does not take.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// A tag that the protocol does not have, in PostgreSQL's words.
    #[error("invalid frontend message type {0}")]
    UnknownTag(u8),
}

/// What the client needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gathered {
    /// A server, for what stands in the input from here on. Nothing of it was kept.
    Batch {
        /// Where in the input.
        from: usize,
    },
    /// A server, for what it holds; see [`ClientMachine::take_held`].
    Held,
    /// Nothing yet.
    More,
    /// It takes its leave.
    Terminate,
}

/// How a client's messages are passed on.
pub struct Rules<'a> {
    /// Whether the client has left nothing in the session that keeps it at its server.
    pub is_free: bool,
    /// What sets the client's settings, to be sent in front of everything.
    pub ahead: Option<String>,
    /// How its prepared statements are shared; otherwise the server is its own, and all is passed
    /// on as it is.
    pub naming: Option<Naming<'a>>,
}

/// How prepared statements are shared.
pub struct Naming<'a> {
    /// Whether those with a name are; otherwise their names are passed on, and pin.
    pub keeps: bool,
    /// Whether texts that come again and again without a name are kept, too.
    pub keeps_unnamed: bool,
    /// What the client's startup parameters make of a statement.
    pub environment: &'a Environment,
    /// Where statements are kept.
    pub library: &'a mut dyn Library,
}

/// What became of input that was relayed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Relayed {
    /// The client takes its leave; nothing after it was forwarded.
    pub terminate: bool,
    /// What became of messages that name a statement.
    pub followed: Followed,
}

/// A client that has logged in.
#[derive(Debug, Default)]
pub struct ClientMachine {
    splitter: Splitter,
    watch: Watch,
    /// The front of a batch, or all of one that waits for a server.
    held: Vec<u8>,
    /// Up to where `held` was looked at: the beginning of a frame.
    scanned: usize,
    /// Bytes of a frame under way that are ignored.
    ignored: u64,
    /// An extended message was refused: everything up to the next Sync is ignored.
    skipping: bool,
    statements: ClientStatements,
    transaction: Transaction,
    /// The BEGIN that went in front of the batch under way.
    begun: Option<Box<[u8]>>,
    /// A message that waits for answers to what was sent before it. What follows it is in `held`.
    stalled: Option<Box<Collected>>,
    /// PostgreSQL has been asked for those answers.
    has_asked: bool,
}

/// What the body that is under way is looked at for.
#[derive(Debug, Default)]
enum Watch {
    #[default]
    Nothing,
    Text(Box<Sniffer>),
    /// It is passed on as it comes, to a server that is the client's own.
    Passing(Collected),
    /// Until it can be said which statement it names. Nothing of it has been passed on.
    Subject(Collected),
}

/// The front of a message that was cut by the end of the input.
#[derive(Debug)]
struct Collected {
    tag: Tag,
    body_bytes: u64,
    body: Vec<u8>,
}

enum Scan {
    Need { from: usize },
    Hold { from: usize, scanned: usize },
    Terminate,
}

impl ClientMachine {
    // --- Without a server. ---

    /// Consumes `input`, except for what [`Gathered::Batch`] names.
    ///
    /// # Errors
    /// [`ClientFault`]: the client must be told and closed.
    pub fn gather(
        &mut self,
        input: &[u8],
        answers: &mut Answers<'_>,
        reply: &mut Pieces,
    ) -> Result<Gathered, ClientFault> {
        if self.held.is_empty() {
            return Ok(match self.scan(input, 0, answers, reply)? {
                Scan::Need { from } => Gathered::Batch { from },
                Scan::Hold { from, scanned } => {
                    self.held.extend_from_slice(input.get(from..).unwrap_or_default());
                    self.scanned = scanned - from;
                    Gathered::More
                }
                Scan::Terminate => Gathered::Terminate,
            });
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(input);
        let outcome = self.scan(&held, self.scanned, answers, reply)?;
        Ok(match outcome {
            Scan::Need { from } => {
                held.drain(..from);
                self.held = held;
                Gathered::Held
            }
            Scan::Hold { from, scanned } => {
                if from < held.len() {
                    held.drain(..from);
                    self.held = held;
                    self.scanned = scanned - from;
                }
                Gathered::More
            }
            Scan::Terminate => Gathered::Terminate,
        })
    }

    /// Looks at the frames of `bytes` from `at` on; what is before `at` is the front of a batch.
    fn scan(
        &mut self,
        bytes: &[u8],
        mut at: usize,
        answers: &mut Answers<'_>,
        reply: &mut Pieces,
    ) -> Result<Scan, ClientFault> {
        let mut batch = (at > 0).then_some(0);
        loop {
            if self.ignored > 0 {
                let left = bytes.len().saturating_sub(at);
                let taken = usize::try_from(self.ignored).unwrap_or(usize::MAX).min(left);
                at += taken;
                self.ignored -= u64::try_from(taken).unwrap_or(self.ignored);
                if self.ignored > 0 {
                    return Ok(Scan::Hold { from: at, scanned: at });
                }
            }
            let is_long = batch.is_some_and(|from| bytes.len() - from >= GATHERED_BYTES_MAX);
            let front = front(bytes.get(at..).unwrap_or_default(), FRAME_BYTES_MAX)?;
            let Front::Frame { tag, frame_bytes } = front else {
                return Ok(match batch {
                    Some(from) if is_long => Scan::Need { from },
                    batch => Scan::Hold { from: batch.unwrap_or(at), scanned: at },
                });
            };
            let tag = known_tag(tag)?;
            let end = usize::try_from(frame_bytes).ok().and_then(|bytes| at.checked_add(bytes));
            let end = end.filter(|end| *end <= bytes.len());
            let needs_server = match (tag, batch) {
                (Tag::Terminate, _) => return Ok(Scan::Terminate),
                (Tag::Sync, None) => {
                    // Nothing was sent that it could end, or what was sent was refused.
                    if end.is_some() {
                        self.skipping = false;
                        self.sync(reply);
                    }
                    false
                }
                (Tag::Flush, None) => false,
                // Left over from a copy that has failed; PostgreSQL ignores them too.
                (Tag::CopyData | Tag::CopyDone | Tag::CopyFail, None) => {
                    self.ignored = frame_bytes;
                    continue;
                }
                _ if self.skipping => {
                    self.ignored = frame_bytes;
                    continue;
                }
                (Tag::Query, None)
                    if self.answers_query(bytes, at..end.unwrap_or(0), answers, reply) =>
                {
                    false
                }
                (_, None)
                    if self.transaction.is_failed()
                        && end.is_none()
                        && frame_bytes <= QUERY_BYTES_MAX =>
                {
                    false // It may be what ends the transaction.
                }
                (_, None) if self.transaction.is_failed() => {
                    let body = at + HEADER_BYTES..end.unwrap_or(bytes.len()).max(at + HEADER_BYTES);
                    self.answer_failed(tag, bytes.get(body).unwrap_or_default(), reply);
                    // Its rest is not worth waiting for.
                    self.ignored = frame_bytes;
                    continue;
                }
                _ => {
                    batch = batch.or(Some(at));
                    let ends_batch =
                        matches!(tag, Tag::Query | Tag::FunctionCall | Tag::Sync | Tag::Flush);
                    ends_batch && end.is_some()
                }
            };
            match (batch, end) {
                (Some(from), Some(end)) if needs_server && !is_long => {
                    let whole = bytes.get(from..end).unwrap_or_default();
                    let names = &mut self.statements;
                    if !answer_empty_batch(whole, &self.transaction, answers, names, reply) {
                        return Ok(Scan::Need { from });
                    }
                    batch = None;
                    at = end;
                }
                (Some(from), _) if needs_server || is_long => return Ok(Scan::Need { from }),
                (_, Some(end)) => at = end,
                (batch, None) => {
                    return Ok(match batch {
                        Some(from) if bytes.len() - from >= GATHERED_BYTES_MAX => {
                            Scan::Need { from }
                        }
                        batch => Scan::Hold { from: batch.unwrap_or(at), scanned: at },
                    });
                }
            }
        }
    }

    /// A query of the simple protocol, as far as it has come: whether it needs no server.
    fn answers_query(
        &mut self,
        bytes: &[u8],
        frame: Range<usize>,
        answers: &Answers<'_>,
        reply: &mut Pieces,
    ) -> bool {
        let Some(frame) = bytes.get(frame).filter(|frame| !frame.is_empty()) else { return false };
        let text = frame.get(HEADER_BYTES..).unwrap_or_default();
        self.transaction.answer_query(text, answers, reply)
    }

    fn answer_failed(&mut self, tag: Tag, body: &[u8], reply: &mut Pieces) {
        let ends_batch = matches!(tag, Tag::Query | Tag::FunctionCall);
        self.skipping = !self.transaction.answer_failed(tag, body, reply) && !ends_batch;
        if ends_batch {
            self.sync(reply);
        }
    }

    fn sync(&mut self, reply: &mut Pieces) {
        let status = self.transaction.status();
        reply.own(|out| backend::push_ready(out, status));
        self.transaction.synced();
    }

    /// Whether it was told that a transaction has begun, or failed, of which PostgreSQL knows
    /// nothing.
    pub fn is_in_transaction(&self) -> bool {
        self.transaction.status() != TransactionStatus::Idle
    }

    /// Gives it a buffer for what it is to hold, if it has none.
    pub fn lend(&mut self, buffer: Vec<u8>) {
        if self.held.capacity() == 0 {
            self.held = buffer;
        }
    }

    /// What it keeps for this client alone, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.held.capacity() + self.statements.own_bytes()
    }

    /// Keeps a batch for which no server is free yet.
    pub fn hold(&mut self, batch: &[u8]) {
        self.held.extend_from_slice(batch);
    }

    /// The batch that waited, to be relayed.
    pub fn take_held(&mut self) -> Vec<u8> {
        self.scanned = 0;
        std::mem::take(&mut self.held)
    }

    /// No server: the batch that waits is answered with `complaint`, as PostgreSQL would answer
    /// one that fails, and the client can go on. True when it said goodbye within the batch.
    pub fn refuse(&mut self, complaint: &Complaint, reply: &mut Pieces) -> bool {
        let held = self.take_held();
        self.transaction.fails();
        let mut at = 0;
        while let Ok(Front::Frame { tag, frame_bytes }) =
            front(held.get(at..).unwrap_or_default(), FRAME_BYTES_MAX)
        {
            match Tag::from_byte(tag) {
                Some(Tag::Terminate) => return true,
                Some(Tag::Sync) => {
                    self.skipping = false;
                    self.sync(reply);
                }
                _ if self.skipping => {}
                Some(Tag::Query | Tag::FunctionCall) => {
                    reply.own(|out| complaint.encode(Severity::Error, out));
                    self.sync(reply);
                }
                Some(Tag::Bind | Tag::Close | Tag::Describe | Tag::Execute | Tag::Parse) => {
                    reply.own(|out| complaint.encode(Severity::Error, out));
                    self.skipping = true;
                }
                _ => {}
            }
            let here = u64::try_from(held.len() - at).unwrap_or(u64::MAX);
            if frame_bytes > here {
                self.ignored = frame_bytes - here;
                return false;
            }
            at += usize::try_from(frame_bytes).unwrap_or(held.len());
        }
        self.held = held.get(at..).unwrap_or_default().to_vec(); // A cut header at most.
        false
    }

    // --- With a server. ---

    /// Consumes all of `input`. What the server must be sent goes to `out`, what the client is
    /// answered at once to `reply`. When a message must wait for answers, so does what follows:
    /// see [`ClientMachine::is_stalled`].
    ///
    /// # Errors
    /// [`ClientFault`]: what came before it has been passed on.
    pub fn relay(
        &mut self,
        input: &[u8],
        rules: &mut Rules<'_>,
        server: &mut ServerMachine,
        out: &mut Pieces,
        reply: &mut Pieces,
    ) -> Result<Relayed, ClientFault> {
        let mut relayed = Relayed::default();
        let mut at = 0;
        if rules.naming.is_some() && self.is_at_start_of_message() {
            server.relay_begins();
        }
        if let Some(sql) = rules.ahead.take() {
            server.adapt_ahead(sql.as_bytes(), out);
        }
        self.begun = self.transaction.take_begun();
        if let Some(begin) = &self.begun {
            server.begin_ahead(begin, out);
        }
        if let Some(collected) = self.stalled.take() {
            self.look_at_subject(*collected, rules, server, out, &mut relayed);
            self.has_asked &= self.stalled.is_some();
        }
        while self.stalled.is_none()
            && let Some(part) = self.splitter.next(input, &mut at)?
        {
            match part {
                Part::Header { tag, body_bytes, stashed, range } => {
                    let tag = known_tag(tag)?;
                    if tag == Tag::Terminate {
                        relayed.terminate = true;
                        return Ok(relayed);
                    }
                    let is_looked_at = match tag {
                        Tag::Bind | Tag::Close | Tag::Describe | Tag::Parse => true,
                        Tag::Query => body_bytes <= QUERY_BYTES_MAX,
                        _ => false,
                    };
                    if is_looked_at && rules.naming.is_some() && !server.exchange().is_skipping() {
                        let Some(place) = self.splitter.whole_body(input, &mut at) else {
                            self.watch =
                                Watch::Subject(Collected { tag, body_bytes, body: Vec::new() });
                            continue;
                        };
                        let body = input.get(place.clone()).unwrap_or_default();
                        let place = Place { body: place.start, behind_header: stashed == 0 };
                        let message = Message { tag, body_bytes, body, place: Some(place) };
                        let subject = message.subject();
                        self.follow(&message, subject, rules, server, out, &mut relayed);
                        continue;
                    }
                    self.passes_on(tag, rules, server);
                    if rules.naming.is_none() {
                        let body = input.get(range.end..).unwrap_or_default();
                        self.watch = self.watch_passing(tag, body_bytes, body, server);
                    }
                    out.own_bytes(self.splitter.stash(stashed));
                    out.forward(range);
                }
                Part::Body { range, last } => {
                    let bytes = input.get(range.clone()).unwrap_or_default();
                    if matches!(self.watch, Watch::Subject(_))
                        && let Watch::Subject(mut collected) = std::mem::take(&mut self.watch)
                    {
                        collected.body.extend_from_slice(bytes);
                        self.look_at_subject(collected, rules, server, out, &mut relayed);
                        continue;
                    }
                    self.watch.look(bytes, last, &self.statements, server, out);
                    out.forward(range);
                }
            }
        }
        if self.stalled.is_some() {
            self.held.extend_from_slice(input.get(at..).unwrap_or_default());
        }
        server.relay_ended(input, self.is_at_start_of_message());
        server.invent_what_is_due(Some(&mut self.statements), reply);
        Ok(relayed)
    }

    /// Whether a message waits for answers to what was sent before it. When the server has said
    /// something, what is held ([`ClientMachine::take_held`]) is to be relayed; until then what the
    /// client says is to be held.
    pub fn is_stalled(&self) -> bool {
        self.stalled.is_some()
    }

    /// A message that names no statement is passed on as it comes.
    fn passes_on(&mut self, tag: Tag, rules: &Rules<'_>, server: &mut ServerMachine) {
        let is_skipped = server.exchange().is_skipping();
        server.sent(tag);
        match tag {
            Tag::Sync => self.statements.batch_sent(),
            Tag::Query => self.statements.forget_unnamed(),
            _ => {}
        }
        self.watch = match tag {
            Tag::Query if rules.naming.is_some() && !is_skipped => {
                Watch::Text(Box::default()) // Too long to be looked at as a whole.
            }
            _ => Watch::Nothing,
        };
    }

    /// How the body of a message is looked at that is passed on whatever it says: it has come as a
    /// whole, or it is looked at when the rest has come.
    fn watch_passing(
        &self,
        tag: Tag,
        body_bytes: u64,
        come: &[u8],
        server: &mut ServerMachine,
    ) -> Watch {
        let is_looked_at = matches!(tag, Tag::Bind | Tag::Parse | Tag::Query);
        // A Bind is looked at for its names.
        if !is_looked_at || body_bytes > QUERY_BYTES_MAX && tag != Tag::Bind {
            return Watch::Nothing;
        }
        let whole = usize::try_from(body_bytes).ok().and_then(|bytes| come.get(..bytes));
        match whole {
            Some(body) => {
                server.watch_for_commit(tag, body, &self.statements);
                Watch::Nothing
            }
            None => Watch::Passing(Collected { tag, body_bytes, body: Vec::new() }),
        }
    }

    /// More of a message has come that may name a statement, or it need not wait any more.
    fn look_at_subject(
        &mut self,
        collected: Collected,
        rules: &mut Rules<'_>,
        server: &mut ServerMachine,
        out: &mut Pieces,
        relayed: &mut Relayed,
    ) {
        let Collected { tag, body_bytes, body } = &collected;
        let message = Message { tag: *tag, body_bytes: *body_bytes, body, place: None };
        // What has failed meanwhile is answered by nothing up to the next Sync.
        let is_skipped = server.exchange().is_skipping();
        let subject = if is_skipped { Subject::Nothing } else { message.subject() };
        if subject == Subject::Unknown {
            self.watch = Watch::Subject(collected);
        } else {
            self.follow(&message, subject, rules, server, out, relayed);
        }
    }

    /// A message of which is known what it names.
    fn follow(
        &mut self,
        message: &Message<'_>,
        subject: Subject<'_>,
        rules: &mut Rules<'_>,
        server: &mut ServerMachine,
        out: &mut Pieces,
        relayed: &mut Relayed,
    ) {
        let Some(naming) = &mut rules.naming else { return };
        self.watch = Watch::Nothing;
        // What was left in the session may change what a statement means.
        let is_as_logged_in = rules.is_free && !server.is_unsettled();
        let mut with = Following {
            environment: is_as_logged_in.then_some(naming.environment),
            settings: naming.environment,
            keeps: naming.keeps,
            library: &mut *naming.library,
            names: &mut self.statements,
            out,
            followed: Followed::default(),
        };
        if message.tag != Tag::Query {
            server.watch_for_commit(message.tag, message.body, with.names);
        }
        let subject = match subject {
            Subject::Nothing | Subject::Unknown => {
                message.push(0, &[], with.out);
                server.sent(message.tag);
                return;
            }
            Subject::Query { text } => {
                server.marked(&Traces::of(text, server.backslash_escapes()), with.out);
                message.push(0, &[], with.out);
                server.sent(Tag::Query);
                server.watch_for_commit(Tag::Query, text, with.names);
                return self.statements.forget_unnamed();
            }
            Subject::Unnamed { definition } if message.tag == Tag::Parse => {
                let keeps = naming.keeps_unnamed && is_as_logged_in && server.may_keep_unnamed();
                if let Some(definition) = definition.filter(|_| keeps)
                    && let Some(statement) = with.library.recall(naming.environment, definition)
                    && server.parse_kept(&statement, &mut with)
                {
                    relayed.followed.add(with.followed);
                    return;
                }
                let text = message.body.get(1..).unwrap_or_default();
                if definition.is_some() {
                    server.marked(&Traces::of(text, server.backslash_escapes()), with.out);
                } else {
                    self.watch = Watch::Text(Box::default());
                    self.watch.look(text, false, with.names, server, with.out);
                }
                message.push(0, &[], with.out);
                server.parse_unnamed();
                self.statements.unnamed_sent(definition);
                return;
            }
            Subject::Unnamed { .. } if with.names.get(b"").is_some() => message.of_kept_unnamed(),
            Subject::Unnamed { .. } => {
                return server.use_unnamed(message, with.names.unnamed(), with.out);
            }
            other => other,
        };
        let step = server.follow(message, subject, &mut with);
        relayed.followed.add(with.followed);
        if step != Step::Done {
            self.has_asked &= step == Step::Wait;
            if server.exchange().needs_sync() && !std::mem::replace(&mut self.has_asked, true) {
                out.own(frontend::push_flush); // Or PostgreSQL would keep the answers to itself.
            }
            let Message { tag, body_bytes, body, .. } = *message;
            self.stalled = Some(Box::new(Collected { tag, body_bytes, body: body.to_vec() }));
        }
    }

    // --- To another server. ---

    /// Whether a batch is one that could be run twice, as far as its words show. It is to be the
    /// first of a lease, with the client in no transaction.
    pub fn is_plain_read(&self, batch: &[u8], server: &ServerMachine) -> bool {
        plain_read::is_plain_read(batch, &self.statements, server.backslash_escapes())
    }

    /// The batch that was relayed to `server` is to go to another: nothing of it has reached
    /// PostgreSQL, or what has counts for nothing, and the client was answered nothing of it. `batch`:
    /// all that was relayed of it. The client holds it again, as if it had not been.
    pub fn take_back(&mut self, batch: &[u8], server: &mut ServerMachine) {
        server.forsake(&mut self.statements);
        self.splitter = Splitter::default();
        self.watch = Watch::Nothing;
        self.stalled = None;
        self.has_asked = false;
        self.held.clear();
        self.held.extend_from_slice(batch);
        self.scanned = 0;
        if let Some(begin) = self.begun.take() {
            self.transaction = Transaction::Begun(begin);
        }
    }

    /// The statements that it has prepared.
    pub fn statements(&mut self) -> &mut ClientStatements {
        &mut self.statements
    }

    /// Whether the server has got the front of a message whose rest is still to come.
    pub fn is_mid_message(&self) -> bool {
        !self.splitter.is_between_frames() && !self.is_holding_back()
    }

    /// Whether all that it has said was passed on, and ends with the end of a message.
    fn is_at_start_of_message(&self) -> bool {
        self.splitter.is_at_start_of_frame() && !self.is_holding_back()
    }

    /// Whether there is a message of which nothing was passed on yet.
    fn is_holding_back(&self) -> bool {
        matches!(self.watch, Watch::Subject(_)) || self.is_stalled()
    }

    /// Whether nothing that it has said, as far as that has come, is still to be passed on.
    pub fn is_passed_on(&self) -> bool {
        self.splitter.is_between_frames() && !self.is_stalled()
    }

    /// The lease has ended. Bytes of a header that was cut are kept for the next batch.
    pub fn end_lease(&mut self) {
        self.begun = None;
        // A batch that waits while the server is made ready is still unsent; it stays.
        self.held.append(&mut self.splitter.take_cut_header());
        self.scanned = 0;
    }
}

impl Watch {
    fn look(
        &mut self,
        bytes: &[u8],
        last: bool,
        names: &ClientStatements,
        server: &mut ServerMachine,
        out: &mut Pieces,
    ) {
        match self {
            Self::Text(sniffer) => {
                sniffer.feed(bytes, last);
                server.marked(&Traces::glimpsed(sniffer), out);
            }
            Self::Passing(Collected { tag, body, .. }) => {
                let room = PASSING_BYTES_MAX.saturating_sub(body.len());
                body.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
                if last {
                    server.watch_for_commit(*tag, body, names);
                    *self = Self::Nothing;
                }
            }
            Self::Nothing | Self::Subject(_) => {}
        }
    }
}

fn known_tag(tag: u8) -> Result<Tag, ClientFault> {
    // A password message belongs to the login; afterwards it is as unknown as any other.
    Tag::from_byte(tag).filter(|tag| *tag != Tag::Password).ok_or(ClientFault::UnknownTag(tag))
}
