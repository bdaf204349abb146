//! The machine of a server that has logged in: it follows what PostgreSQL says, passes on what
//! answers the client, swallows what answers Tidegate, and does Tidegate's own errands between
//! two clients.
//!
//! It promises that a server is at rest only when nothing is owed in either direction, and that
//! no errand is called done before PostgreSQL has said so.
//!
//! Cost: five bytes read per message; bodies are looked at only where they steer us, and copied
//! only where the end of the input cuts such a one.
//!
//! - [`naming`]: messages of the client that name a prepared statement.
//! - [`again`]: a batch that is sent again, as its statement was of no use.
//! - [`committing`]: which of the client's messages commit a transaction.

pub mod again;
mod committing;
pub mod naming;

use std::collections::VecDeque;
use std::sync::Arc;

use tidegate_wire::backend::{self, Severity, TransactionStatus};
use tidegate_wire::catalogue::Complaint;
use tidegate_wire::frame::FrameError;
use tidegate_wire::frontend;
use tidegate_wire::sqlstate::SqlState;

use crate::examination::{Findings, Question};
use crate::exchange::{self, About, Exchange, Fate, OutOfStep, Settled, Use};
use crate::listen::{MARKER_CHANNEL, Marker, listen_to_markers};
use crate::parameters::{Reported, ReportedValues, SessionSettings};
use crate::pieces::Pieces;
use crate::pin::{PinReason, PinReasons};
use crate::prepared::client::ClientStatements;
use crate::prepared::server::ServerStatements;
use crate::prepared::{CHANGED, Columns, NAME_PREFIX, NOBODYS, Statement, is_reserved};
use crate::server::again::Kept;
use crate::server::committing::Committing;
use crate::sniff::Scope;
use crate::splitter::{Part, Splitter};
use crate::traces::{Touched, Traces, Unlistened};

/// The largest message that is collected to be understood when the input cuts it. Parameters and
/// errors are small; a larger error is passed on unread.
const COLLECTED_BYTES_MAX: usize = 64 * 1024;

/// What a returned server is sent so that the next client finds nothing of the last: what
/// DISCARD ALL does, except for the plans (PostgreSQL 15, "DISCARD"), as one query so that it
/// takes one round trip. Temporary tables go before their namesakes could matter.
pub const RESET_SQL: &[u8] = b"SET SESSION AUTHORIZATION DEFAULT;RESET ALL;DEALLOCATE ALL;\
    CLOSE ALL;UNLISTEN *;SELECT pg_catalog.pg_advisory_unlock_all();DISCARD TEMP;\
    DISCARD SEQUENCES";

/// What Tidegate does with a server on its own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// Sets the startup parameters of the next client.
    Adapt,
    /// Asks whether the server still answers.
    Check,
    /// Listens for many clients; see [`crate::listen`].
    Listen,
    /// Ends what a vanished client left: its statement, its batch, its copy, its transaction.
    Recover,
    /// Removes what the last client left in the session.
    Reset,
    /// Sets startup parameters of the client again that it has reset.
    Restore,
}

/// What Tidegate sends for the client's sake without that the client waits for the answer: in front
/// of its batch, or behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    /// The client's settings.
    Adapt,
    /// What the client has left in the session; see [`crate::examination`].
    Ask,
    /// The end of a batch that is sent again, and of the transaction that it has begun.
    Again,
    /// The BEGIN that the client has been told was carried out.
    Begin,
    /// Listens to markers: what the client listens to is to move.
    ListenToMarkers,
    /// What the client listened to has moved.
    Unlisten,
    /// The values of sequences that others have left.
    Discard,
    /// A statement, under the settings that it was prepared under.
    Parse,
    /// Those settings, or the client's again.
    Switch,
    /// Settings of the client that it has reset.
    Restore,
}

/// What a lease at rest has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Review {
    /// PostgreSQL is being asked; [`Heard::findings`] follows. Nobody need wait for them, unless
    /// settings were reset that the client had asked for when it connected: those must be in force
    /// again before anything else is sent.
    Asked {
        /// Settings were reset.
        were_reset: bool,
    },
    /// Nothing has been left, or changed.
    Clean,
    /// It is known without asking.
    Known(Findings),
}

/// How an errand ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrandEnd {
    /// PostgreSQL has confirmed it.
    Done(Errand),
    /// PostgreSQL refused.
    Failed(Errand, ServerError),
}

/// An error that PostgreSQL reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    /// Its code.
    pub sqlstate: SqlState,
    /// Its text.
    pub message: String,
}

/// The stream from the server can't be followed any further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerFault {
    /// A frame that PostgreSQL never sends.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// A message that answers nothing.
    #[error("{0}")]
    OutOfStep(#[from] OutOfStep),
    /// A tag that PostgreSQL does not have.
    #[error("the server sent a message of unknown type 0x{0:02x}")]
    UnknownTag(u8),
    /// A body that does not fit its tag.
    #[error("the server sent a malformed '{}' message", char::from(*.0))]
    Malformed(u8),
}

/// What became of a stretch of input, beyond what is to be passed on.
#[derive(Debug, Default)]
pub struct Heard {
    /// An errand has ended.
    pub errand: Option<ErrandEnd>,
    /// The settings that were sent in front of the client's batch are in force; with all that was
    /// reported by then. What follows in the same input is the client's own doing.
    pub adapted: Option<Arc<ReportedValues>>,
    /// Settings of the client that it had reset are in force again.
    pub restored: bool,
    /// The server listens to markers.
    pub listens_to_markers: bool,
    /// The marker has come: from here on the client hears of the listening server.
    pub marker_came: bool,
    /// The server listens no more to what has moved.
    pub unlistened: bool,
    /// What was sent beside the client's messages was answered.
    pub beside_answered: bool,
    /// What was sent in front of the client's batch has failed, and the batch may have run without
    /// it.
    pub ahead_failed: Option<ServerError>,
    /// What the client has left in the session.
    pub findings: Option<Findings>,
    /// An error that ends the connection; PostgreSQL closes next.
    pub fatal: Option<ServerError>,
    /// The same as a message, where it answers nothing: for the client, if it still has the server
    /// when the rest of the input has been dealt with.
    pub farewell: Option<Box<[u8]>>,
    /// The client was told of it, as it answers something of the client's.
    pub is_fatal_told: bool,
    /// It answers something of the client's, and the client was not told, as that is not all that
    /// is to be said. Nothing more comes.
    pub is_fatal_withheld: bool,
    /// It came where something that commits a transaction should have been answered.
    pub is_commit_in_doubt: bool,
    /// Batches whose answer ended: each ReadyForQuery that went to the client.
    pub batches: u32,
    /// Transactions that ended.
    pub transactions: u32,
    /// Statements that ended: CommandComplete, EmptyQueryResponse, PortalSuspended.
    pub statements: u32,
    /// Errors that went to the client, by the last one's code.
    pub error: Option<SqlState>,
    /// Prepared statements that are of no use any more, to all who have them.
    pub useless: Option<Arc<Statement>>,
    /// What the client has sent, of which nothing was carried out and nothing answered: it is to be
    /// relayed again, before anything else.
    pub again: Option<Vec<u8>>,
    /// Tables, types, or functions have changed.
    pub schema_changed: bool,
    /// A parameter was reported that is none of an errand's.
    pub parameter_reported: bool,
    /// `DISCARD ALL` was confirmed to the client, and nothing was sent behind it.
    pub discarded: bool,
    /// `DISCARD ALL` or `RESET` was confirmed to the client: startup parameters that were set
    /// after the login are gone.
    pub parameters_reset: bool,
}

/// A server that has logged in.
#[derive(Debug)]
pub struct ServerMachine {
    splitter: Splitter,
    /// The fate of the frame whose body is under way.
    fate: Fate,
    collecting: Option<Collected>,
    exchange: Exchange,
    reported: Reported,
    /// What it had reported when it had logged in, before anybody set anything.
    own: Arc<ReportedValues>,
    errand: Option<Errand>,
    errand_error: Option<ServerError>,
    /// What was sent beside the client's messages and is not answered yet, in order.
    beside: VecDeque<Beside>,
    /// What was asked, while it is.
    question: Option<Question>,
    findings: Findings,
    /// Nothing of the client's has been sent in this lease.
    is_fresh: bool,
    /// What the client may have done to the session since PostgreSQL was last asked.
    deeds: Deeds,
    /// What the client listens to moves: up to this marker it hears of this server.
    hand_over: Option<HandOver>,
    /// The last answer that the client got was the confirmation of `DISCARD ALL`: had another
    /// followed, it might be that of something that stays.
    discarding: bool,
    statements: ServerStatements,
    /// What the lease has changed of how statements are parsed.
    scope: Option<Scope>,
    /// What is under way may take prepared statements away.
    may_forget: bool,
    /// The statement without a name is the client's.
    has_unnamed: bool,
    /// What the client bound last.
    bound: naming::Bound,
    /// The batch under way, as long as it could be sent again.
    kept: Kept,
    /// What the client is told where PostgreSQL says next that its statement was cancelled: it was
    /// on Tidegate's behalf.
    cancelled_for: Option<Box<Complaint>>,
    committing: Committing,
    /// An error that ends the connection is not passed on: the batch under way may be run again.
    withholds_fatal: bool,
}

/// PostgreSQL's words for its `statement_timeout`, whose SQLSTATE is that of a cancel. Where it
/// speaks another language they can't be told from those for a cancel, and pass for one.
const STATEMENT_TIMEOUT: &[u8] = b"canceling statement due to statement timeout";

/// What a client may have done to the session.
#[derive(Debug, Default)]
struct Deeds {
    /// Reasons for a pin that may hold.
    left: PinReasons,
    /// Settings that may have changed.
    touched: Touched,
    /// Reasons for a pin may hold no more.
    releases: bool,
    /// It has ended listening.
    unlistens: Unlistened,
    /// Settings were reset.
    was_reset: bool,
    /// Something has failed or was rolled back.
    has_failed: bool,
}

impl Deeds {
    /// Whether it has done nothing, whatever has failed.
    fn is_empty(&self) -> bool {
        self.left.is_empty()
            && self.touched.is_empty()
            && !self.releases
            && !self.was_reset
            && self.unlistens.is_empty()
    }
}

/// The move of what a client listens to, as its own server sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HandOver {
    /// It will have a marker.
    Prepared,
    /// This one.
    Until(Marker),
    /// It has come.
    Past,
}

/// A message that steers us and was cut by the end of the input.
#[derive(Debug)]
struct Collected {
    tag: backend::Tag,
    header: [u8; 5],
    body: Vec<u8>,
}

impl ServerMachine {
    /// A server that has just logged in and reported these parameters. It keeps at most
    /// `statements_max` prepared statements for clients.
    pub fn new(reported: Reported, statements_max: usize) -> Self {
        Self {
            splitter: Splitter::default(),
            fate: Fate::Forward,
            collecting: None,
            exchange: Exchange::default(),
            own: reported.values().clone(),
            reported,
            errand: None,
            errand_error: None,
            beside: VecDeque::new(),
            question: None,
            findings: Findings::default(),
            is_fresh: true,
            deeds: Deeds::default(),
            hand_over: None,
            discarding: false,
            statements: ServerStatements::new(statements_max),
            scope: None,
            may_forget: false,
            has_unnamed: false,
            bound: naming::Bound::default(),
            kept: Kept::default(),
            cancelled_for: None,
            committing: Committing::default(),
            withholds_fatal: false,
        }
    }

    /// Consumes all of `input`. What answers the client goes to `client`, what the server must
    /// be sent goes to `server`, the rest is said in the result. `names`: the prepared statements
    /// of the client, when it has not gone.
    ///
    /// # Errors
    /// [`ServerFault`]: the connection must be closed, and so must the client's, since it may have
    /// got half a message.
    pub fn receive(
        &mut self,
        input: &[u8],
        mut names: Option<&mut ClientStatements>,
        client: &mut Pieces,
        server: &mut Pieces,
    ) -> Result<Heard, ServerFault> {
        let mut heard = Heard::default();
        let mut at = 0;
        while let Some(part) = self.splitter.next(input, &mut at)? {
            match part {
                Part::Header { tag, body_bytes, stashed, range } => {
                    let tag = backend::Tag::from_byte(tag).ok_or(ServerFault::UnknownTag(tag))?;
                    // Before it is known that a statement is of use the client is told nothing.
                    let may_fail = match tag {
                        backend::Tag::ErrorResponse => true,
                        backend::Tag::ParameterDescription => {
                            self.exchange.described_next().is_some()
                        }
                        _ => false,
                    };
                    if !may_fail || !self.kept.is_kept() {
                        self.tell_what_is_due(names.as_deref_mut(), client)?;
                    }
                    let is_understood = match tag {
                        backend::Tag::DataRow => self.is_being_told(),
                        backend::Tag::NotificationResponse => self.hand_over.is_some(),
                        backend::Tag::NoData
                        | backend::Tag::ParameterDescription
                        | backend::Tag::RowDescription => self.exchange.described_next().is_some(),
                        tag => is_telling(tag),
                    };
                    if tag == backend::Tag::NoticeResponse {
                        self.remarked();
                    }
                    if !is_understood {
                        let answer = self.exchange.heard(tag, None)?;
                        self.answered(answer);
                        self.discarding &= !answer.is_answer;
                        self.fate = answer.fate;
                        self.forward_header(stashed, range, client);
                        continue;
                    }
                    if let Some(body) = self.splitter.whole_body(input, &mut at) {
                        let bytes = input.get(body.clone()).unwrap_or_default();
                        let names = names.as_deref_mut();
                        if self.hear_whole(tag, bytes, names, client, server, &mut heard)? {
                            self.forward_header(stashed, range, client);
                            self.forward(body, client);
                        }
                    } else if body_bytes <= COLLECTED_BYTES_MAX_U64 {
                        let mut header = [0; 5];
                        let bytes = self.splitter.stash(stashed).iter();
                        let bytes = bytes.chain(input.get(range).unwrap_or_default());
                        header.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
                        self.collecting = Some(Collected { tag, header, body: Vec::new() });
                    } else {
                        self.tell_what_is_due(names.as_deref_mut(), client)?;
                        match tag {
                            backend::Tag::ErrorResponse | backend::Tag::NoticeResponse => {}
                            backend::Tag::ParameterDescription => {}
                            backend::Tag::RowDescription => {
                                self.described(None, names.as_deref_mut())
                            }
                            // The value of a setting. Such a one is not carried about.
                            backend::Tag::DataRow => self.findings.holds.add(PinReason::Set),
                            _ => return Err(ServerFault::Malformed(tag.byte())),
                        }
                        let answer = self.exchange.heard(tag, None)?;
                        self.answered(answer);
                        self.skip_beside();
                        self.fate = answer.fate;
                        self.discarding = false;
                        if tag == backend::Tag::ErrorResponse && self.fate == Fate::Swallow {
                            self.errand_error.get_or_insert_with(|| ServerError {
                                sqlstate: SqlState::INTERNAL_ERROR,
                                message: "an error too long to be kept".into(),
                            });
                        }
                        self.forward_header(stashed, range, client);
                    }
                }
                Part::Body { range, last } => {
                    let Some(collected) = &mut self.collecting else {
                        self.forward(range, client);
                        continue;
                    };
                    collected.body.extend_from_slice(input.get(range).unwrap_or_default());
                    if last && let Some(whole) = self.collecting.take() {
                        let Collected { tag, header, body } = whole;
                        let names = names.as_deref_mut();
                        if self.hear_whole(tag, &body, names, client, server, &mut heard)?
                            && self.fate == Fate::Forward
                        {
                            client.own_bytes(&header);
                            client.own_bytes(&body);
                        }
                    }
                }
            }
        }
        self.invent_what_is_due(names, client);
        Ok(heard)
    }

    /// PostgreSQL remarks upon something: what it is parsing, perhaps.
    fn remarked(&self) {
        let defined = self.exchange.defined_next();
        if let Some(statement) = defined.and_then(|name| self.statements.named(name)) {
            statement.set_remarked();
        }
    }

    /// A message that steers us, whole. Whether it is passed on as it came, if that is its fate.
    fn hear_whole(
        &mut self,
        tag: backend::Tag,
        body: &[u8],
        mut names: Option<&mut ClientStatements>,
        client: &mut Pieces,
        server: &mut Pieces,
        heard: &mut Heard,
    ) -> Result<bool, ServerFault> {
        if self.is_taken_back(tag, body, names.as_deref_mut(), server, heard)
            || self.kept.holds(tag, body)
        {
            return Ok(false);
        }
        // What was sent since it began may have been answered without the server.
        self.tell_what_is_due(names.as_deref_mut(), client)?;
        let renamed = self.understand(tag, body, names, server, heard)?;
        if let Some(error) = &renamed {
            client.own_bytes(error);
        }
        Ok(renamed.is_none())
    }

    /// Whether the client has got an answer to its batch.
    fn answered(&mut self, answer: exchange::Heard) {
        if answer.is_answer && answer.fate == Fate::Forward {
            self.kept.drop();
        }
    }

    /// The answers that come before what the server says now.
    fn tell_what_is_due(
        &mut self,
        names: Option<&mut ClientStatements>,
        client: &mut Pieces,
    ) -> Result<(), ServerFault> {
        self.exchange.invent();
        self.settle(names, client);
        if let Some(types) = self.kept.take_types() {
            let tag = backend::Tag::ParameterDescription;
            self.parameters_described(&types);
            let answer = self.exchange.heard(tag, None)?;
            self.answered(answer);
            if answer.fate == Fate::Forward {
                client.own(|out| backend::push_parameter_description(out, &types));
            }
        }
        Ok(())
    }

    /// Answers that nothing of the server's will come before. Not in the midst of a message.
    pub(crate) fn invent_what_is_due(
        &mut self,
        names: Option<&mut ClientStatements>,
        client: &mut Pieces,
    ) {
        if !self.is_between_frames() {
            return;
        }
        if self.exchange.owes_only_inventions() {
            self.exchange.invent();
        }
        self.settle(names, client);
        self.may_forget &= !self.exchange.is_answered();
    }

    /// Puts right what is known of prepared statements by what became of them, and writes the
    /// invented answers.
    fn settle(&mut self, mut names: Option<&mut ClientStatements>, client: &mut Pieces) {
        while let Some(Settled { about, fate, has_succeeded }) = self.exchange.next_settled() {
            match (about, fate) {
                (_, Fate::Invent) => {}
                (About::ParseUnnamed, fate) => {
                    self.has_unnamed = has_succeeded;
                    if let (Fate::Forward, Some(names)) = (fate, names.as_deref_mut()) {
                        names.unnamed_settled(has_succeeded);
                    }
                    continue;
                }
                (About::Parse(name), _) => self.statements.parsed(name, has_succeeded),
                (About::Close(Some(name)), _) if !has_succeeded => self.statements.not_closed(name),
                (About::Close(_), _) => {}
            }
            if let (Fate::Forward | Fate::Invent, Some(names)) = (fate, names.as_deref_mut()) {
                names.settled(has_succeeded);
            }
            if fate == Fate::Invent && has_succeeded {
                self.kept.drop();
                let tag = match about {
                    About::Close(_) => backend::Tag::CloseComplete,
                    About::Parse(_) | About::ParseUnnamed => backend::Tag::ParseComplete,
                };
                client.own(|out| backend::push_bare(out, tag));
            }
        }
    }

    fn forward_header(&self, stashed: usize, range: std::ops::Range<usize>, client: &mut Pieces) {
        if self.fate == Fate::Forward {
            client.own_bytes(self.splitter.stash(stashed));
            client.forward(range);
        }
    }

    fn forward(&self, range: std::ops::Range<usize>, client: &mut Pieces) {
        if self.fate == Fate::Forward {
            client.forward(range);
        }
    }

    /// A message that steers us. What becomes of it is its fate; an error that names a statement
    /// by Tidegate's name is returned with the client's.
    fn understand(
        &mut self,
        tag: backend::Tag,
        body: &[u8],
        mut names: Option<&mut ClientStatements>,
        server: &mut Pieces,
        heard: &mut Heard,
    ) -> Result<Option<Vec<u8>>, ServerFault> {
        let malformed = || ServerFault::Malformed(tag.byte());
        let message = backend::Message::decode(tag, body).map_err(|_| malformed())?;
        let status = match message {
            backend::Message::ReadyForQuery(status) => Some(status),
            _ => None,
        };
        let mut renamed = None;
        let used =
            (tag == backend::Tag::ErrorResponse).then(|| self.exchange.used_next()).flatten();
        match message {
            backend::Message::ParameterDescription(types) => self.parameters_described(types),
            backend::Message::RowDescription(columns) => {
                self.described(Columns::of(columns), names.as_deref_mut());
            }
            backend::Message::NoData => {
                self.described(Some(Columns::NONE), names.as_deref_mut());
            }
            _ => {}
        }
        // Before it is heard: an Execute is not owed any more afterwards, and what is owed next has
        // not committed anything yet.
        if let backend::Message::CommandComplete(tag) = message
            && committing::confirms(tag)
        {
            self.exchange.commit_confirmed();
        }
        let is_in_doubt = tag == backend::Tag::ErrorResponse && self.exchange.owes_commit();
        let is_withheld = is_in_doubt || self.withholds_fatal;
        let answer = self.exchange.heard(tag, status)?;
        self.answered(answer);
        if tag == backend::Tag::ErrorResponse {
            self.skip_beside();
        }
        let fate = answer.fate;
        self.fate = fate;
        match message {
            backend::Message::ReadyForQuery(status) => {
                if fate == Fate::Swallow {
                    match self.beside.pop_front() {
                        Some(beside) => self.beside_answered(beside, heard),
                        None => self.errand_answered(server, heard),
                    }
                } else {
                    heard.batches += 1;
                    heard.transactions += u32::from(status == TransactionStatus::Idle);
                    let was_last = std::mem::take(&mut self.discarding);
                    heard.discarded |= was_last && self.exchange.owes_nothing();
                }
            }
            backend::Message::ParameterStatus { name, value } => {
                self.reported.note(name, value);
                heard.parameter_reported |= self.errand.is_none();
            }
            backend::Message::DataRow(row) if fate == Fate::Swallow => {
                self.findings.read(row).map_err(|_| malformed())?;
            }
            backend::Message::NotificationResponse { channel, payload, .. } => {
                if let Some(HandOver::Until(marker)) = self.hand_over
                    && marker.is_in(channel, payload)
                {
                    self.hand_over = Some(HandOver::Past);
                    heard.marker_came = true;
                }
                if channel == MARKER_CHANNEL.as_bytes() || self.hand_over == Some(HandOver::Past) {
                    self.fate = Fate::Swallow; // The client hears it of the other.
                }
            }
            // Also of what a vanished client had sent.
            backend::Message::CommandComplete(b"DISCARD ALL" | b"DEALLOCATE ALL")
                if fate != Fate::Forward =>
            {
                self.statements.forget();
            }
            backend::Message::CommandComplete(tag) if fate == Fate::Forward => {
                heard.statements += 1;
                heard.schema_changed |= changes_schema(tag);
                self.discarding = tag == b"DISCARD ALL";
                let resets = tag == b"DISCARD ALL" || tag == b"RESET";
                heard.parameters_reset |= resets;
                self.deeds.was_reset |= resets;
                self.deeds.has_failed |= tag == b"ROLLBACK";
                if tag == b"RESET" {
                    // Of constants, the server reports it.
                    self.scope = self.scope.max(Some(Scope::Names));
                }
                if tag == b"DISCARD ALL" || tag == b"DEALLOCATE ALL" {
                    self.statements.forget();
                    if let Some(names) = names.as_deref_mut() {
                        names.forget();
                    }
                }
            }
            backend::Message::ErrorResponse(fields) => {
                self.discarding = false;
                let sqlstate = fields.sqlstate().unwrap_or(SqlState::INTERNAL_ERROR);
                let text = || {
                    let message = String::from_utf8_lossy(fields.message().unwrap_or_default());
                    ServerError { sqlstate, message: message.into_owned() }
                };
                let answers_client = answer.is_answer && fate == Fate::Forward;
                if !answer.is_answer || is_final(fields.severity()) {
                    heard.fatal = Some(text());
                    heard.is_fatal_withheld |= answers_client && is_withheld;
                    heard.is_commit_in_doubt |= answers_client && is_in_doubt;
                    heard.is_fatal_told |= answers_client && !is_withheld;
                }
                if !answer.is_answer || heard.is_fatal_withheld {
                    // The lease may end with what came before.
                    self.fate = Fate::Swallow;
                    let mut farewell = Vec::new();
                    fields.push_error_with(&mut farewell, &[]);
                    heard.farewell = Some(farewell.into());
                    self.deeds.has_failed = true;
                } else if fate == Fate::Swallow {
                    self.errand_error.get_or_insert_with(text);
                } else {
                    heard.error = Some(sqlstate);
                    self.deeds.has_failed = true;
                    if let Some((Use { server: known, .. }, true)) =
                        used.filter(|_| is_about_the_statement(sqlstate))
                    {
                        heard.useless = self.statements.useless(known).or(heard.useless.take());
                    }
                    let name = used.and_then(|(used, _)| names.as_deref()?.name(used.client));
                    // One cancel ends one statement: another is somebody else's, as is a timeout
                    // of PostgreSQL's own.
                    let is_cancelled = sqlstate == SqlState::QUERY_CANCELED
                        && fields.message() != Some(STATEMENT_TIMEOUT);
                    renamed = match self.cancelled_for.take_if(|_| is_cancelled) {
                        Some(complaint) => {
                            let mut error = Vec::new();
                            complaint.encode(Severity::Error, &mut error);
                            Some(error)
                        }
                        None => in_the_clients_words(&fields, name),
                    };
                }
            }
            _ => {}
        }
        Ok(renamed)
    }

    /// The types of the parameters of the statement that is being described are these.
    fn parameters_described(&self, types: &[u8]) {
        if let Some(uses) = self.exchange.described_next() {
            self.statements.set_parameters(uses.server, types);
        }
    }

    /// The result of the statement that is being described is this.
    fn described(&mut self, columns: Option<Columns>, names: Option<&mut ClientStatements>) {
        let Some(uses) = self.exchange.described_next() else { return };
        self.statements.set_columns(uses.server, columns);
        if let (false, Some(names)) = (self.exchange.is_tidegates_next(), names) {
            names.told(uses.client, columns);
        }
    }

    // --- Sent for the client. ---

    /// A message of the client is being sent.
    pub fn sent(&mut self, tag: frontend::Tag) {
        self.is_fresh = false;
        self.kept.sent(tag);
        self.committing.sent(tag);
        match tag {
            frontend::Tag::Sync => self.statements.batch_sent(),
            // It takes the place of the statement without a name, and may make a portal of any name.
            frontend::Tag::Query => {
                self.has_unnamed = false;
                self.bound.forget();
            }
            frontend::Tag::Close => self.bound.forget(),
            _ => {}
        }
        self.exchange.sent(tag, Fate::Forward);
        if tag == frontend::Tag::Execute && self.committing.is_bound() {
            self.exchange.sent_commits(1);
        }
    }

    /// A cancel was sent for this reason: when what the client runs fails with it, the client is
    /// told so in PostgreSQL's stead, once. None: none was, or not for this alone.
    pub fn set_cancelled_for(&mut self, complaint: Option<Complaint>) {
        self.cancelled_for = complaint.map(Box::new);
    }

    /// What the server owes.
    pub fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// The parameters that it has reported.
    pub fn reported(&self) -> &Reported {
        &self.reported
    }

    /// Whether a client that knows this knows all that the server has reported.
    pub fn reports_as_known(&mut self, known: &Arc<ReportedValues>) -> bool {
        self.reported.is_as_known(known)
    }

    /// A lease begins: changes of reported parameters count from here.
    pub fn begin_lease(&mut self) {
        self.reported.set_baseline();
        self.scope = None;
        self.has_unnamed = false;
        self.is_fresh = true;
        self.deeds = Deeds::default();
        self.hand_over = None;
        self.cancelled_for = None;
        self.committing = Committing::default();
        self.withholds_fatal = false;
        self.bound.forget();
        self.statements.begin_lease();
    }

    // --- What the client leaves in the session. ---

    /// The client is about to send a statement that does this to the session.
    pub(crate) fn marked(&mut self, traces: &Traces, server: &mut Pieces) {
        if traces.is_empty() {
            return;
        }
        self.scope = self.scope.max(traces.scope);
        self.may_forget |= traces.forgets;
        self.deeds.left = self.deeds.left.and(traces.leaves);
        self.deeds.releases |= traces.releases;
        self.deeds.unlistens.add(&traces.unlistens);
        self.deeds.was_reset |= traces.resets;
        self.deeds.touched.then(&traces.settings);
        if traces.reads_sequences && self.is_fresh {
            // What is there is another client's. In the midst of a transaction it is what the
            // client has got there itself.
            self.deeds.left.add(PinReason::Sequence);
            self.send_beside(Beside::Discard, b"DISCARD SEQUENCES", Fate::Swallow, server);
        }
    }

    /// Whether a backslash in a string escapes what follows it.
    pub(crate) fn backslash_escapes(&self) -> bool {
        self.reported.value("standard_conforming_strings") == Some(b"off")
    }

    /// The client is about to send something that leaves this.
    pub(crate) fn leaves(&mut self, reason: PinReason) {
        self.deeds.left.add(reason);
    }

    /// Whether what the session is like is not known at present: the client has done something to
    /// it, and PostgreSQL has not been asked, or has not answered.
    pub fn is_unsettled(&self) -> bool {
        !self.deeds.left.is_empty()
            || !self.deeds.touched.is_empty()
            || self.question.is_some()
            || self.reported.differs()
    }

    /// Looks back on a transaction that has ended, with the server at rest: has the client left
    /// something, or removed what it had left? `held`: what it had left; `known`: the settings of
    /// the server before.
    pub fn review(
        &mut self,
        held: PinReasons,
        known: &SessionSettings,
        server: &mut Pieces,
    ) -> Review {
        self.scope = None;
        if self.deeds.is_empty() && !self.reported.differs() {
            self.deeds.has_failed = false;
            return Review::Clean;
        }
        let Deeds { left, mut touched, releases, unlistens, was_reset, has_failed } =
            std::mem::take(&mut self.deeds);
        let mut reasons = left;
        // What has failed may have been rolled back.
        let unlistened = if has_failed { Unlistened::default() } else { unlistens };
        let mut gone = PinReasons::NONE;
        if releases {
            if touched.are_reset && !has_failed && !reasons.has(PinReason::Set) {
                gone = gone.with(PinReason::Set);
            }
            reasons = reasons.and(held.without(gone));
        }
        // Of a single setting that was reset it is not known to what, and where something has
        // failed, or was rolled back, it is not known whether it is set at all.
        touched.any |= was_reset && !touched.are_reset || !touched.is_empty() && has_failed;
        // A function may have set something behind the reset, to what it was before, too.
        touched.any |= touched.are_reset && self.reported.settings_differ_from(&self.own);
        let before = std::mem::take(&mut touched.before);
        if has_failed {
            touched.names.extend(before);
        }
        let mut reported = Vec::new();
        if touched.any {
            let is_own = |name: &str| name.contains('.');
            touched.names.retain(|name| is_own(name));
            let own = known.iter().filter(|(name, _)| is_own(name));
            touched.names.extend(own.map(|(name, _)| Box::from(name)));
        } else {
            let text = |value: &[u8]| std::str::from_utf8(value).ok().map(Arc::<str>::from);
            touched.names.retain(|name| {
                let value = self.reported.setting(name).and_then(text);
                reported.extend(value.iter().map(|value| (name.clone(), value.clone())));
                value.is_none()
            });
            if !touched.are_reset {
                for (name, value) in self.reported.differing() {
                    if let Some(value) = text(value) {
                        reported.push((name.into(), value));
                    }
                }
            }
        }
        self.reported.set_baseline();
        // Where all were reset, and that is known to have been carried out, what was set comes after.
        let one_was_reset = was_reset && touched.any;
        let question = Question { reasons, gone, touched, reported, unlistened, one_was_reset };
        if question.is_empty() {
            return Review::Clean;
        }
        if question.is_known() {
            return Review::Known(question.findings());
        }
        let sql = question.sql();
        self.findings = Findings::default();
        self.question = Some(question);
        // What is said beside it is the client's.
        self.send_beside(Beside::Ask, sql.as_bytes(), Fate::SwallowAnswer, server);
        Review::Asked { were_reset: was_reset }
    }

    /// Whether a row that comes now answers what Tidegate has asked.
    fn is_being_told(&self) -> bool {
        self.beside.front() == Some(&Beside::Ask) && self.exchange.is_own_next()
    }

    // --- Sent beside the client's messages. ---

    /// Sends the client's settings in front of its batch.
    pub fn adapt_ahead(&mut self, sql: &[u8], server: &mut Pieces) {
        self.send_beside(Beside::Adapt, sql, Fate::Swallow, server);
    }

    /// Sends settings that the client has reset, to a server that it keeps. What they report is the
    /// client's to know.
    pub fn restore(&mut self, sql: &[u8], server: &mut Pieces) {
        self.send_beside(Beside::Restore, sql, Fate::SwallowAnswer, server);
    }

    /// Sends the BEGIN that was answered already.
    pub fn begin_ahead(&mut self, sql: &[u8], server: &mut Pieces) {
        self.kept.begins(sql);
        self.send_beside(Beside::Begin, sql, Fate::SwallowAnswer, server);
    }

    // --- What the client listens to moves to another server. ---

    /// Listens to markers too. The client is not told of them.
    pub fn listen_to_markers(&mut self, server: &mut Pieces) {
        self.hand_over = Some(HandOver::Prepared);
        let sql = listen_to_markers();
        self.send_beside(Beside::ListenToMarkers, sql.as_bytes(), Fate::SwallowAnswer, server);
    }

    /// Whether it listens to markers.
    pub fn is_handing_over(&self) -> bool {
        self.hand_over.is_some()
    }

    /// What comes behind this marker, the client will hear of the other server.
    pub fn hand_over_at(&mut self, marker: Marker) {
        self.hand_over = Some(HandOver::Until(marker));
    }

    /// The other server is lost: the client goes on hearing of this one.
    pub fn keep_listening(&mut self) {
        if self.hand_over.is_some() {
            self.hand_over = Some(HandOver::Prepared);
        }
    }

    /// Ends listening to what has moved.
    pub fn unlisten(&mut self, sql: &str, server: &mut Pieces) {
        self.send_beside(Beside::Unlisten, sql.as_bytes(), Fate::SwallowAnswer, server);
    }

    /// Whether the client may have begun to listen to something else since it was last asked.
    pub fn may_listen_anew(&self) -> bool {
        self.deeds.left.has(PinReason::Listen) || self.question.is_some()
    }

    fn send_beside(&mut self, beside: Beside, sql: &[u8], fate: Fate, server: &mut Pieces) {
        self.beside.push_back(beside);
        self.query(sql, fate, server);
    }

    /// Sends a statement to be parsed under settings that are not the session's at present: between
    /// two batches, as a query would end the one that it stands in.
    fn parse_under(
        &mut self,
        change: &str,
        change_back: &str,
        server: &mut Pieces,
        parse: impl FnOnce(&mut Self, &mut Pieces),
    ) {
        let is_fresh = self.is_fresh;
        self.send_beside(Beside::Switch, change.as_bytes(), Fate::Swallow, server);
        parse(self, server);
        self.beside.push_back(Beside::Parse);
        server.own(frontend::push_sync);
        self.exchange.sent(frontend::Tag::Sync, Fate::Swallow);
        self.send_beside(Beside::Switch, change_back.as_bytes(), Fate::Swallow, server);
        self.is_fresh = is_fresh;
    }

    /// Whether the server is at something that was sent in front of the client's messages, or behind
    /// its last.
    pub fn is_ahead(&self) -> bool {
        self.is_beside() && self.exchange.is_own_next()
    }

    /// Whether something was sent beside the client's messages and is not answered yet.
    pub fn is_beside(&self) -> bool {
        !self.beside.is_empty()
    }

    /// What was skipped after a failure is not answered.
    fn skip_beside(&mut self) {
        for _ in 0..self.exchange.take_skipped() {
            self.beside.pop_front();
        }
    }

    fn beside_answered(&mut self, beside: Beside, heard: &mut Heard) {
        heard.beside_answered = true;
        let error = self.errand_error.take();
        match (beside, error) {
            (Beside::Ask, error) => {
                let Some(question) = self.question.take() else { return };
                let mut findings = std::mem::take(&mut self.findings);
                if error.is_some() {
                    findings = Findings::supposed(&question);
                } else {
                    findings.complete(question);
                }
                heard.findings = Some(findings);
            }
            // The client goes on hearing of its own server, and keeps it.
            (Beside::ListenToMarkers | Beside::Unlisten, Some(_)) => {}
            // Whoever uses the statement is told that there is none.
            (Beside::Parse, Some(_)) => {}
            (_, Some(error)) => heard.ahead_failed = Some(error),
            (Beside::Adapt, None) => {
                // From here on, what differs is the client's doing.
                self.reported.set_baseline();
                heard.adapted = Some(self.reported.values().clone());
            }
            (Beside::Restore, None) => {
                self.reported.set_baseline();
                heard.restored = true;
            }
            (Beside::ListenToMarkers, None) => heard.listens_to_markers = true,
            (Beside::Unlisten, None) => {
                self.hand_over = None;
                heard.unlistened = true;
            }
            (
                Beside::Again | Beside::Begin | Beside::Discard | Beside::Parse | Beside::Switch,
                None,
            ) => {}
        }
    }

    /// A parameter has changed while nobody had the server, as by a reload of PostgreSQL's
    /// settings: what was parsed under the old one is of no use.
    pub fn retire_statements(&mut self) {
        self.statements.retire();
    }

    /// Whether the last message has come to its end.
    pub fn is_between_frames(&self) -> bool {
        self.splitter.is_between_frames() && self.collecting.is_none()
    }

    /// Whether the client has got the front of a message whose rest is still to come.
    pub fn is_mid_answer(&self) -> bool {
        self.fate == Fate::Forward
            && !self.splitter.is_between_frames()
            && self.collecting.is_none()
    }

    // --- Errands. ---

    /// Starts an errand with a server at rest. `sql` is what is to be executed.
    pub fn start(&mut self, errand: Errand, sql: &[u8], server: &mut Pieces) {
        debug_assert!(self.errand.is_none(), "one errand at a time");
        self.errand = Some(errand);
        self.errand_error = None;
        if errand == Errand::Reset {
            self.statements.forget();
        }
        let fate = match errand {
            Errand::Listen | Errand::Restore => Fate::SwallowAnswer,
            _ => Fate::Swallow,
        };
        self.query(sql, fate, server);
    }

    /// Starts to end what a vanished client left. The caller cancels a running statement.
    ///
    /// Nothing of it reaches anybody. When the errand is done the server is at rest, but the
    /// session's state is still the client's: a reset follows.
    pub fn recover(&mut self, server: &mut Pieces) {
        debug_assert!(self.errand.is_none(), "one errand at a time");
        self.errand = Some(Errand::Recover);
        self.errand_error = None;
        self.fate = Fate::Swallow;
        self.beside.clear();
        self.question = None;
        self.kept = Kept::default();
        self.exchange.swallow_all();
        if self.exchange.is_copying_in() {
            server.own(|out| frontend::push_copy_fail(out, b"the client has disconnected"));
            self.exchange.sent(frontend::Tag::CopyFail, Fate::Swallow);
        }
        if self.exchange.needs_sync() {
            server.own(frontend::push_sync);
            self.exchange.sent(frontend::Tag::Sync, Fate::Swallow);
        }
        // The answer to this comes after all that is still owed. It ends the transaction, if
        // there is one; otherwise PostgreSQL warns, which nobody sees.
        self.query(b"ROLLBACK", Fate::Swallow, server);
    }

    /// The errand that is under way.
    pub fn errand(&self) -> Option<Errand> {
        self.errand
    }

    fn query(&mut self, sql: &[u8], fate: Fate, server: &mut Pieces) {
        self.has_unnamed = false;
        server.own(|out| frontend::push_query(out, sql));
        self.exchange.sent(frontend::Tag::Query, fate);
    }

    /// A ReadyForQuery that was ours.
    fn errand_answered(&mut self, server: &mut Pieces, heard: &mut Heard) {
        let Some(errand) = self.errand else { return };
        if !self.exchange.owes_nothing() {
            return; // Of a recovery: an older answer.
        }
        if self.exchange.status() != TransactionStatus::Idle {
            // The copy that was failed, or a Sync, came after the ROLLBACK in effect.
            self.query(b"ROLLBACK", Fate::Swallow, server);
            return;
        }
        if errand == Errand::Check {
            self.exchange.settle();
        }
        self.errand = None;
        let error = self.errand_error.take();
        heard.errand = Some(match error {
            Some(error) if errand != Errand::Recover => ErrandEnd::Failed(errand, error),
            _ => ErrandEnd::Done(errand),
        });
    }
}

const COLLECTED_BYTES_MAX_U64: u64 = 64 * 1024;
const _: () = assert!(COLLECTED_BYTES_MAX == 65_536 && COLLECTED_BYTES_MAX_U64 == 65_536);

/// Whether the body steers us.
const fn is_telling(tag: backend::Tag) -> bool {
    matches!(
        tag,
        backend::Tag::CommandComplete
            | backend::Tag::ErrorResponse
            | backend::Tag::ParameterStatus
            | backend::Tag::ReadyForQuery
    )
}

fn is_final(severity: Option<Severity>) -> bool {
    matches!(severity, Some(Severity::Fatal | Severity::Panic))
}

/// Whether a command has changed what later statements may mean.
fn changes_schema(tag: &[u8]) -> bool {
    [&b"ALTER "[..], b"CREATE ", b"DROP "].iter().any(|verb| tag.starts_with(verb))
}

/// The function of PostgreSQL's source that finds that the result of a cached plan has changed.
const REVALIDATES: &[u8] = b"RevalidateCachedQuery";

/// Whether an error that met a prepared statement would meet it again: it is not there, its result
/// has changed ("cached plan must not change result type"), or what it names is gone.
fn is_about_the_statement(sqlstate: SqlState) -> bool {
    matches!(&sqlstate.class(), b"0A" | b"26" | b"42")
}

/// An error about a prepared statement, with the name that the client gave it.
fn in_the_clients_words(fields: &backend::Fields<'_>, name: Option<&[u8]>) -> Option<Vec<u8>> {
    // No such statement, one more of its name, values that do not fit it.
    let about_names = [
        SqlState::INVALID_SQL_STATEMENT_NAME,
        SqlState::DUPLICATE_PREPARED_STATEMENT,
        SqlState::PROTOCOL_VIOLATION,
    ];
    fields.sqlstate().filter(|sqlstate| about_names.contains(sqlstate))?;
    let message = fields.message()?;
    let mut error = Vec::new();
    // A client's own name that looks like it has one underscore more.
    let is_named = |name: &[u8]| {
        let at = message.windows(name.len()).position(|window| window == name);
        at.is_some_and(|at| at == 0 || message.get(at - 1) != Some(&b'_'))
    };
    if is_named(CHANGED) {
        // PostgreSQL 15, `RevalidateCachedQuery`. Drivers look for the function, too (pgjdbc 42.7,
        // `QueryExecutorBase.willHealViaReparse`).
        let code = SqlState::FEATURE_NOT_SUPPORTED;
        let changed = [
            (b'C', Some(code.as_str().as_bytes())),
            (b'M', Some(&b"cached plan must not change result type"[..])),
            (b'F', None),
            (b'L', None),
            (b'R', Some(REVALIDATES)),
        ];
        fields.push_error_with(&mut error, &changed);
        return Some(error);
    }
    if is_named(NOBODYS) {
        // PostgreSQL 15, `exec_bind_message`.
        let message = &b"unnamed prepared statement does not exist"[..];
        fields.push_error_with(&mut error, &[(b'M', Some(message))]);
        return Some(error);
    }
    // Quotes differ with the language of the messages.
    let prefix = message.windows(NAME_PREFIX.len()).position(|window| window == NAME_PREFIX)?;
    let front = message.get(..prefix)?;
    let underscores = front.iter().rev().take_while(|byte| **byte == b'_').count();
    let rest = message.get(prefix + NAME_PREFIX.len()..)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let ours = message.get(prefix - underscores..prefix + NAME_PREFIX.len() + digits)?;
    debug_assert!(is_reserved(ours), "it looks like one of Tidegate's");
    let message = match (underscores, name) {
        (0, Some(name)) => [front, name, rest.get(digits..)?].concat(),
        (0, None) => return None,
        // One underscore was put before a name that looks like one of Tidegate's.
        (_, _) => [front.get(..prefix - 1)?, message.get(prefix..)?].concat(),
    };
    fields.push_error_with(&mut error, &[(b'M', Some(&message))]);
    Some(error)
}
