//! Messages of the client that name a prepared statement, on servers that it shares.
//!
//! | Message  | The server has the statement | It has not |
//! |----------|------------------------------|------------|
//! | Parse    | nothing is sent, ParseComplete invented | sent under Tidegate's name |
//! | Bind, Describe | sent with Tidegate's name | the Parse goes before it, its answer swallowed |
//! | Close    | nothing is sent, CloseComplete invented | the same |
//!
//! A name that the client has not defined is passed on as it is: PostgreSQL then says itself, in
//! its turn and with all that follows from it, that there is no such statement.
//!
//! Where it depends on an answer that is still to come what a message means, the message waits for
//! it ([`Step::Wait`]), and with it all that follows; PostgreSQL is asked to answer (Flush). That
//! happens in pipelines that use a name again before they know what has become of it.
//!
//! A client that was told what a statement's result is like reads it so, without asking again. On a
//! server that has not described it, the statement is parsed and described first, and only run
//! when its result is like that ([`Step::Asked`]); otherwise PostgreSQL is made to say that it has
//! changed, as it would on a connection of the client's own.
//!
//! The statement without a name belongs to a client, too, but there is one place for it on each
//! server: one that a client has not filled itself since it got the server is filled for it, or
//! PostgreSQL is made to say that it is empty. A text that comes again and again without a name is
//! kept under one, so that it need not be parsed each time; but only where the batch could
//! be sent again without, should anything be wrong with it.

use std::sync::Arc;

use tidegate_wire::backend::TransactionStatus;
use tidegate_wire::frame::HEADER_BYTES;
use tidegate_wire::frontend::Tag;

use crate::exchange::{About, Fate, Use};
use crate::pieces::Pieces;
use crate::pin::PinReason;
use crate::prepared::client::{ClientStatements, Named};
use crate::prepared::interner::Library;
use crate::prepared::server::{Origin, ServerName};
use crate::prepared::{
    CHANGED, DEFINITION_BYTES_MAX, Environment, NAME_BYTES_MAX, NOBODYS, Statement, StatementId,
    is_reserved,
};
use crate::server::ServerMachine;
use crate::sniff::Scope;

/// What following a client's statements has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Followed {
    /// Statements that were sent to be parsed.
    pub parses: u32,
    /// Statements that the server had.
    pub hits: u32,
    /// Statements that were closed to make room.
    pub evictions: u32,
}

impl Followed {
    pub(crate) fn add(&mut self, other: Self) {
        self.parses += other.parses;
        self.hits += other.hits;
        self.evictions += other.evictions;
    }
}

/// A message that may name a statement, as far as it has come.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub(crate) tag: Tag,
    /// How long its body is.
    pub(crate) body_bytes: u64,
    /// The body as far as it has come.
    pub(crate) body: &'a [u8],
    /// Where in the input that stands; when it does not, it is Tidegate's own copy.
    pub(crate) place: Option<Place>,
}

/// Where a message stands in the input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Where its body begins.
    pub(crate) body: usize,
    /// Whether the header stands right before it.
    pub(crate) behind_header: bool,
}

/// What a message names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject<'a> {
    /// It can't be said yet.
    Unknown,
    /// No statement, or what is malformed: PostgreSQL says what is wrong with it.
    Nothing,
    /// A query of the simple protocol, with its text.
    Query { text: &'a [u8] },
    /// The statement that a Bind makes a portal of.
    Bind { portal: &'a [u8], name: &'a [u8] },
    /// The statement that a Close is about.
    Close { name: &'a [u8] },
    /// The statement that a Describe is about.
    Describe { name: &'a [u8] },
    /// The portal that a Describe is about.
    Portal { name: &'a [u8] },
    /// The statement that a Parse defines; one that is too large to be kept has no definition.
    Parse { name: &'a [u8], definition: Option<&'a [u8]> },
    /// The statement without a name; one that is defined by a text that can be kept, with that.
    Unnamed { definition: Option<&'a [u8]> },
}

/// A Parse longer than this is not kept.
const PARSE_BYTES_MAX: usize = NAME_BYTES_MAX + 1 + DEFINITION_BYTES_MAX;

/// A statement without a name that is longer is not kept: it can be used only on the server that it
/// was sent to. Ten thousand clients keep 160 MB at worst.
const UNNAMED_BYTES_MAX: usize = 16 * 1024;

/// The names at the front of a Bind, with their zero bytes.
const BIND_NAMES_BYTES_MAX: usize = 2 * (NAME_BYTES_MAX + 1);

impl<'a> Message<'a> {
    /// What it names.
    pub(crate) fn subject(&self) -> Subject<'a> {
        let body = self.body;
        let is_whole = u64::try_from(body.len()).is_ok_and(|bytes| bytes >= self.body_bytes);
        let exceeds = |max: usize| usize::try_from(self.body_bytes).is_ok_and(|bytes| bytes > max);
        let name_end = |from: usize| {
            let names = body.get(from..).unwrap_or_default();
            names.iter().position(|byte| *byte == 0).map(|end| from + end)
        };
        let unknown = |bytes_max: usize| {
            let more = !is_whole && body.len() < bytes_max;
            if more { Subject::Unknown } else { Subject::Nothing }
        };
        match (self.tag, body) {
            (Tag::Query, text) if is_whole => Subject::Query { text },
            (Tag::Query, _) => Subject::Unknown,
            (_, []) => unknown(1),
            (Tag::Parse, [0, ..]) if exceeds(UNNAMED_BYTES_MAX) => {
                Subject::Unnamed { definition: None }
            }
            (Tag::Parse, [0, ..]) if !is_whole => Subject::Unknown,
            (Tag::Parse, [0, definition @ ..]) => Subject::Unnamed { definition: Some(definition) },
            (Tag::Parse, _) => match split_name(body) {
                None => unknown(NAME_BYTES_MAX + 1),
                Some((name, _)) if exceeds(PARSE_BYTES_MAX) => {
                    Subject::Parse { name, definition: None }
                }
                Some(_) if !is_whole => Subject::Unknown,
                Some((name, definition)) => Subject::Parse { name, definition: Some(definition) },
            },
            (Tag::Bind, _) => {
                let Some(portal) = name_end(0) else { return unknown(BIND_NAMES_BYTES_MAX) };
                match name_end(portal + 1) {
                    None => unknown(BIND_NAMES_BYTES_MAX),
                    Some(name) if name == portal + 1 => Subject::Unnamed { definition: None },
                    Some(name) => Subject::Bind {
                        portal: body.get(..portal).unwrap_or_default(),
                        name: body.get(portal + 1..name).unwrap_or_default(),
                    },
                }
            }
            (Tag::Describe, [b'P', rest @ ..]) => match rest {
                _ if exceeds(NAME_BYTES_MAX + 2) => Subject::Nothing,
                _ if !is_whole => Subject::Unknown,
                [name @ .., 0] if !name.contains(&0) => Subject::Portal { name },
                _ => Subject::Nothing,
            },
            (Tag::Close | Tag::Describe, [b'S', rest @ ..]) => match rest {
                _ if exceeds(NAME_BYTES_MAX + 2) => Subject::Nothing,
                _ if !is_whole => Subject::Unknown,
                [0] => Subject::Unnamed { definition: None },
                [name @ .., 0] if !name.contains(&0) => {
                    if self.tag == Tag::Close {
                        Subject::Close { name }
                    } else {
                        Subject::Describe { name }
                    }
                }
                _ => Subject::Nothing,
            },
            _ => Subject::Nothing,
        }
    }

    /// What it names, where the statement without a name is one that is kept.
    pub(crate) fn of_kept_unnamed(&self) -> Subject<'a> {
        match self.tag {
            Tag::Close => Subject::Close { name: b"" },
            Tag::Describe => Subject::Describe { name: b"" },
            _ => {
                let portal = self.body.get(..self.unnamed_at().saturating_sub(1));
                Subject::Bind { portal: portal.unwrap_or_default(), name: b"" }
            }
        }
    }

    /// Where in it the empty name of a statement stands.
    fn unnamed_at(&self) -> usize {
        match self.tag {
            Tag::Bind => self.body.iter().position(|byte| *byte == 0).map_or(0, |end| end + 1),
            _ => 1,
        }
    }

    /// Passes it on with `front` in place of its first `replaced` bytes.
    pub(crate) fn push(&self, replaced: usize, front: &[&[u8]], out: &mut Pieces) {
        match self.place {
            Some(Place { body, behind_header: true }) if replaced == 0 && front.is_empty() => {
                return out.forward(body.saturating_sub(HEADER_BYTES)..body + self.body.len());
            }
            _ => {}
        }
        let front_bytes: usize = front.iter().map(|part| part.len()).sum();
        out.own(|own| {
            push_header(self.tag, self.body_bytes, replaced, front_bytes, own);
            front.iter().for_each(|part| own.extend_from_slice(part));
        });
        match self.place {
            Some(place) => {
                let from = replaced.min(self.body.len());
                out.forward(place.body + from..place.body + self.body.len());
            }
            None => out.own_bytes(self.body.get(replaced..).unwrap_or_default()),
        }
    }
}

fn push_header(tag: Tag, body_bytes: u64, replaced: usize, front_bytes: usize, out: &mut Vec<u8>) {
    let [replaced, front_bytes] = [replaced, front_bytes].map(|n| u64::try_from(n).unwrap_or(0));
    // A frame has less than a gigabyte, and a name is short: it stays far below what fits.
    let length = body_bytes.saturating_sub(replaced) + front_bytes + 4;
    out.push(tag.byte());
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

fn split_name(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = body.iter().position(|byte| *byte == 0)?;
    let (name, rest) = body.split_at_checked(end)?;
    Some((name, rest.get(1..)?))
}

/// What goes before a name that is the client's own affair, so that it is none of Tidegate's.
fn escape(name: &[u8]) -> &'static [u8] {
    if is_reserved(name) { b"_" } else { b"" }
}

/// Whether a message has been passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It has, or it was answered.
    Done,
    /// It waits, for answers to what was sent before it.
    Wait,
    /// It waits for answers to what was sent on its account.
    Asked,
}

/// What the client bound last, for as long as it may want to know more of it.
#[derive(Debug, Default)]
pub(super) struct Bound {
    portal: Vec<u8>,
    uses: Option<Use>,
    /// The client was told what the result is like.
    is_told: bool,
    /// Statement and batch for which the server was asked what the result is like.
    asked: Option<(StatementId, u64)>,
}

impl Bound {
    pub(super) fn forget(&mut self) {
        self.uses = None;
        self.asked = None;
    }
}

/// What a Bind is to name.
enum Ready {
    /// Under this name the server has what the client means.
    Known(ServerName),
    /// What the server has under this name has another result than the client takes it to have.
    Changed(ServerName),
    /// The server is being asked now.
    Asked,
    /// It has been, and has not answered yet.
    Waits,
}

/// With what a client's messages are followed.
pub(crate) struct Following<'a> {
    /// That of the client's startup parameters, where it is known to be in force.
    pub(crate) environment: Option<&'a Environment>,
    /// That of the client's settings as far as they are known.
    pub(crate) settings: &'a Environment,
    /// Whether statements are kept; otherwise names are passed on and pin.
    pub(crate) keeps: bool,
    pub(crate) library: &'a mut dyn Library,
    pub(crate) names: &'a mut ClientStatements,
    pub(crate) out: &'a mut Pieces,
    pub(crate) followed: Followed,
}

impl ServerMachine {
    /// Passes on a message that names a statement, or answers it, or says that it must wait.
    pub(crate) fn follow(
        &mut self,
        message: &Message<'_>,
        subject: Subject<'_>,
        with: &mut Following<'_>,
    ) -> Step {
        if self.must_wait(subject, with.names) {
            self.kept.drop();
            return Step::Wait;
        }
        match subject {
            Subject::Unknown
            | Subject::Nothing
            | Subject::Query { .. }
            | Subject::Unnamed { .. } => {}
            Subject::Parse { name, definition } => self.parse(message, name, definition, with),
            Subject::Bind { portal, name } => return self.bind(message, portal, name, with),
            Subject::Describe { name } => {
                if let Some(named) = with.names.get(name).cloned() {
                    let known = self.ensure(&named.statement, with);
                    message.push(name.len() + 2, &[b"S", known.text().as_bytes(), b"\0"], with.out);
                    self.uses(Tag::Describe, &named, known);
                } else {
                    message.push(name.len() + 2, &[b"S", escape(name), name, b"\0"], with.out);
                    self.sent(Tag::Describe);
                }
            }
            Subject::Portal { name } => {
                message.push(0, &[], with.out);
                self.describe_portal(name, with.names);
            }
            Subject::Close { name } => {
                if with.names.close_sent(name) {
                    self.kept.answered_by_tidegate(Tag::Close);
                    self.exchange.sent_about(About::Close(None), Fate::Invent);
                } else {
                    message.push(name.len() + 2, &[b"S", escape(name), name, b"\0"], with.out);
                    self.sent(Tag::Close);
                }
            }
        }
        Step::Done
    }

    fn bind(
        &mut self,
        message: &Message<'_>,
        portal: &[u8],
        name: &[u8],
        with: &mut Following<'_>,
    ) -> Step {
        let replaced = portal.len() + name.len() + 2;
        let Some(named) = with.names.get(name) else {
            message.push(replaced, &[portal, b"\0", escape(name), name, b"\0"], with.out);
            self.bound.uses = None;
            self.sent(Tag::Bind);
            return Step::Done;
        };
        if let Some((known, columns)) = self.statements.used(named.statement.id())
            && named.relies_on().is_none_or(|told| columns == Some(told))
            && named.statement.traces().is_empty()
        {
            // What nearly every Bind comes to.
            let known = self.is_there(known, &mut with.followed);
            let text = known.text();
            message.push(replaced, &[portal, b"\0", text.as_bytes(), b"\0"], with.out);
            self.bound(portal, named, known);
            return Step::Done;
        }
        let named = named.clone();
        if !self.was_asked_of(&named.statement) {
            self.marked(named.statement.traces(), with.out);
        }
        let ready = self.ready(&named, with);
        let known = match ready {
            Ready::Asked => {
                self.kept.drop();
                return Step::Asked;
            }
            Ready::Waits => return Step::Wait,
            Ready::Known(known) | Ready::Changed(known) => known,
        };
        let text = known.text();
        let text = match ready {
            Ready::Changed(_) => CHANGED,
            _ => text.as_bytes(),
        };
        message.push(replaced, &[portal, b"\0", text, b"\0"], with.out);
        self.bound(portal, &named, known);
        Step::Done
    }

    /// A Bind is being sent.
    fn bound(&mut self, portal: &[u8], named: &Named, server: ServerName) {
        self.is_fresh = false;
        self.bound.portal.clear();
        self.bound.portal.extend_from_slice(portal);
        self.bound.is_told = named.is_told();
        self.bound.uses = Some(self.uses(Tag::Bind, named, server));
    }

    /// A message that uses a statement is being sent.
    fn uses(&mut self, tag: Tag, named: &Named, server: ServerName) -> Use {
        let is_relied_on = tag == Tag::Bind && named.relies_on().is_some();
        let uses = Use { client: named.number, server, is_relied_on };
        self.kept.sent(tag);
        self.exchange.sent_using(tag, Fate::Forward, uses);
        uses
    }

    /// A Describe of a portal is being sent.
    fn describe_portal(&mut self, portal: &[u8], names: &mut ClientStatements) {
        let uses = self.bound.uses.filter(|_| self.bound.portal == portal);
        match uses {
            Some(uses) if !self.bound.is_told => {
                self.kept.sent(Tag::Describe);
                self.exchange.sent_using(Tag::Describe, Fate::Forward, uses);
            }
            Some(uses) if uses.is_relied_on => {
                names.asked_again(uses.client);
                self.sent(Tag::Describe);
            }
            _ => self.sent(Tag::Describe),
        }
    }

    /// Sees to it that a Bind finds what the client means.
    fn ready(&mut self, named: &Named, with: &mut Following<'_>) -> Ready {
        let found = self.statements.used(named.statement.id());
        // In a failed transaction nothing is run.
        let asks = !self.exchange.is_unsure()
            && !self.exchange.is_copying_in()
            && !self.exchange.is_failed()
            && named.statement.is_planned();
        match (named.relies_on().filter(|_| asks), found) {
            (None, None) => Ready::Known(self.parse_again(&named.statement, with, |_, _, _, _| {})),
            (told, Some((known, columns))) if told.is_none() || told == columns => {
                Ready::Known(self.is_there(known, &mut with.followed))
            }
            (Some(_), Some((known, None))) if self.exchange.describes(known) => Ready::Waits,
            (_, Some((known, Some(_))))
                if self.was_asked_of(&named.statement) || self.changes_constants() =>
            {
                self.kept.drop();
                Ready::Changed(known)
            }
            // It could not be described, or at such length that it is not remembered.
            _ if self.was_asked_of(&named.statement) => {
                Ready::Known(self.ensure(&named.statement, with))
            }
            // Parsed anew, its constants would mean something else.
            (_, Some((known, None))) if self.changes_constants() => {
                self.ask(named, known, Fate::SwallowUnlessError, with.out);
                Ready::Asked
            }
            // It was parsed for others, or before it has changed.
            _ => {
                self.statements.retire_one(named.statement.id());
                self.parse_again(&named.statement, with, |known, fate, server, out| {
                    server.ask(named, known, fate, out);
                });
                Ready::Asked
            }
        }
    }

    /// Asks the server what the result of a statement is like.
    fn ask(&mut self, named: &Named, known: ServerName, fate: Fate, out: &mut Pieces) {
        self.bound.asked = Some((named.statement.id(), self.statements.batch()));
        push_about(Tag::Describe, known, out);
        let uses = Use { client: named.number, server: known, is_relied_on: false };
        self.exchange.sent_using(Tag::Describe, fate, uses);
    }

    /// Whether the server was asked in this batch what the result of a statement is like.
    fn was_asked_of(&self, statement: &Statement) -> bool {
        self.bound.asked == Some((statement.id(), self.statements.batch()))
    }

    /// A statement that the server has is used.
    fn is_there(&mut self, known: ServerName, followed: &mut Followed) -> ServerName {
        followed.hits += 1;
        self.kept.may_be_stale();
        known
    }

    /// Whether answers that are still to come decide what the message means.
    fn must_wait(&self, subject: Subject<'_>, names: &ClientStatements) -> bool {
        // In the midst of a copy no answer comes, and nothing of this is right.
        if self.exchange.is_answered() || self.exchange.is_unsure() || self.exchange.is_copying_in()
        {
            return false;
        }
        let name = match subject {
            Subject::Unknown
            | Subject::Nothing
            | Subject::Portal { .. }
            | Subject::Query { .. }
            | Subject::Unnamed { .. } => return false,
            // Whether the transaction has failed, and PostgreSQL refuses all that is parsed.
            Subject::Parse { .. } if !self.exchange.is_current() => return true,
            Subject::Parse { name, .. }
            | Subject::Bind { name, .. }
            | Subject::Describe { name }
            | Subject::Close { name } => name,
        };
        let used = match subject {
            Subject::Bind { .. } | Subject::Describe { .. } => names.get(name),
            _ => None,
        };
        self.may_forget
            || names.is_unsettled(name)
            || used.is_some_and(|named| self.statements.is_unsettled(named.statement.id()))
    }

    fn parse(
        &mut self,
        message: &Message<'_>,
        name: &[u8],
        definition: Option<&[u8]>,
        with: &mut Following<'_>,
    ) {
        if let Some(named) = with.names.get(name).cloned() {
            // PostgreSQL looks at the text first, and then finds that the name is in use.
            let known = self.ensure(&named.statement, with);
            message.push(name.len(), &[known.text().as_bytes()], with.out);
            self.uses(Tag::Parse, &named, known);
            return;
        }
        let keeps = with.keeps && with.library.has_room();
        let kept = definition.filter(|text| keeps && with.names.has_room_for(name, text));
        let Some(definition) = kept else {
            message.push(name.len(), &[escape(name), name], with.out);
            self.sent(Tag::Parse);
            self.leaves(PinReason::Prepared);
            return;
        };
        // In a failed transaction PostgreSQL refuses even what it has parsed before.
        let is_known = self.parses_as_logged_in() && !self.exchange.is_failed();
        let environment = with.environment.filter(|_| is_known);
        let mut statement = with.library.intern(environment, definition);
        if self.statements.is_unsure_of(statement.id()) || statement.is_remarked() {
            // The one under way may fail; what PostgreSQL remarks upon it is to remark upon again.
            statement = with.library.intern(None, definition);
        }
        with.names.parse_sent(name, &statement);
        self.define(&statement, with);
    }

    /// Answers the client's Parse of a statement that the server has, or sends it.
    fn define(&mut self, statement: &Arc<Statement>, with: &mut Following<'_>) {
        if let Some((known, _)) = self.statements.used(statement.id()) {
            self.is_there(known, &mut with.followed);
            self.kept.answered_by_tidegate(Tag::Parse);
            self.exchange.sent_about(About::Parse(known), Fate::Invent);
            return;
        }
        let known = self.new_name(statement, with);
        if statement.parameters().is_some() {
            self.kept.may_be_stale();
        }
        push_parse(known.text().as_bytes(), statement, with.out);
        self.kept.sent(Tag::Parse);
        self.exchange.sent_about(About::Parse(known), Fate::Forward);
    }

    /// Sees to it that the server has a statement by the time it reads what follows.
    fn ensure(&mut self, statement: &Arc<Statement>, with: &mut Following<'_>) -> ServerName {
        match self.statements.used(statement.id()) {
            Some((known, _)) => self.is_there(known, &mut with.followed),
            None => self.parse_again(statement, with, |_, _, _, _| {}),
        }
    }

    /// Sends a statement that the server has not got, and what is said `beside` it.
    fn parse_again(
        &mut self,
        statement: &Arc<Statement>,
        with: &mut Following<'_>,
        beside: impl FnOnce(ServerName, Fate, &mut Self, &mut Pieces),
    ) -> ServerName {
        let known = self.new_name(statement, with);
        // A query would end the batch that it stands in, and what is set for the transaction only
        // would not survive a switch.
        let can_switch = !self.exchange.is_batch_open()
            && !self.exchange.is_copying_in()
            && self.exchange.is_current()
            && self.exchange.status() == TransactionStatus::Idle
            && !self.is_unsettled();
        let bound_to = statement.bound_to().filter(|_| can_switch);
        let change = bound_to.and_then(|to| Some((with.settings.change_to(to)?, to)));
        if let Some((change, to)) = change
            && let Some(back) = to.change_to(with.settings)
        {
            // Its constants mean what they meant when the client prepared it.
            self.parse_under(&change, &back, with.out, |server, out| {
                push_parse(known.text().as_bytes(), statement, out);
                server.exchange.sent_about(About::Parse(known), Fate::Swallow);
                // An error is followed by the answer to a Sync of Tidegate's own.
                beside(known, Fate::Swallow, server, out);
            });
            return known;
        }
        push_parse(known.text().as_bytes(), statement, with.out);
        self.exchange.sent_about(About::Parse(known), Fate::SwallowUnlessError);
        beside(known, Fate::SwallowUnlessError, self, with.out);
        known
    }

    /// A name for a statement that is to be parsed now, and room for it.
    fn new_name(&mut self, statement: &Arc<Statement>, with: &mut Following<'_>) -> ServerName {
        while let Some(old) = self.statements.evict() {
            with.followed.evictions += 1;
            push_about(Tag::Close, old, with.out);
            self.exchange.sent_about(About::Close(Some(old)), Fate::SwallowUnlessError);
        }
        with.followed.parses += 1;
        if self.changes_constants() && statement.has_constants() {
            // Constants in it are computed now, and mean what they would mean nowhere else.
            self.leaves(PinReason::Set);
        }
        let is_as_ever = with.environment.is_some() && self.parses_as_logged_in();
        let origin = if is_as_ever { Origin::AsLoggedIn } else { Origin::Foreign };
        self.statements.sent(statement.clone(), origin)
    }

    /// Whether constants in a statement that is parsed now are computed as nowhere else.
    fn changes_constants(&self) -> bool {
        let is_reported = self.reported.differs() && self.deeds.touched.is_empty();
        self.scope == Some(Scope::Constants) || is_reported
    }

    /// Whether a statement that is parsed now means what it would mean to any client with the same
    /// startup parameters.
    fn parses_as_logged_in(&self) -> bool {
        self.scope.is_none() && !self.is_unsettled() && !self.exchange.is_unsure()
    }

    // --- The statement without a name. ---

    /// Whether the batch that begins may use statements that are kept, in place of one without a
    /// name.
    pub(crate) fn may_keep_unnamed(&self) -> bool {
        self.kept.is_untouched() && self.parses_as_logged_in()
    }

    /// A Parse of it, whose statement is kept. False when that is not certain to be there.
    pub(crate) fn parse_kept(
        &mut self,
        statement: &Arc<Statement>,
        with: &mut Following<'_>,
    ) -> bool {
        if self.statements.is_unsure_of(statement.id()) {
            return false;
        }
        with.names.parse_sent(b"", statement);
        self.define(statement, with);
        true
    }

    /// A Parse of it is being passed on.
    pub(crate) fn parse_unnamed(&mut self) {
        self.has_unnamed = true;
        self.kept.sent(Tag::Parse);
        self.exchange.sent_about(About::ParseUnnamed, Fate::Forward);
    }

    /// Passes on a message that uses the statement without a name. `definition`: what it is to the
    /// client; empty when nobody knows.
    pub(crate) fn use_unnamed(
        &mut self,
        message: &Message<'_>,
        definition: &[u8],
        out: &mut Pieces,
    ) {
        if !self.has_unnamed && message.tag != Tag::Close {
            if definition.is_empty() {
                // What is there is somebody else's.
                let at = message.unnamed_at();
                let front = message.body.get(..at).unwrap_or_default();
                message.push(at, &[front, NOBODYS], out);
                return self.sent(message.tag);
            }
            push_parse_as(b"", &[definition], out);
            self.has_unnamed = true;
            self.exchange.sent_about(About::ParseUnnamed, Fate::SwallowUnlessError);
        }
        message.push(0, &[], out);
        self.bound.uses = None;
        self.sent(message.tag);
    }
}

fn push_parse(name: &[u8], statement: &Statement, out: &mut Pieces) {
    let (text, types) = statement.definition();
    push_parse_as(name, &[text, types], out);
}

fn push_parse_as(name: &[u8], definition: &[&[u8]], out: &mut Pieces) {
    let definition_bytes: usize = definition.iter().map(|part| part.len()).sum();
    out.own(|own| {
        push_header(Tag::Parse, 0, 0, name.len() + 1 + definition_bytes, own);
        own.extend_from_slice(name);
        own.push(0);
        definition.iter().for_each(|part| own.extend_from_slice(part));
    });
}

/// A message about a statement: Close or Describe.
fn push_about(tag: Tag, name: ServerName, out: &mut Pieces) {
    let text = name.text();
    out.own(|own| {
        push_header(tag, 0, 0, text.as_bytes().len() + 2, own);
        own.push(b'S');
        own.extend_from_slice(text.as_bytes());
        own.push(0);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject<'a>(tag: Tag, body: &'a [u8], body_bytes: usize) -> Subject<'a> {
        let body_bytes = body_bytes as u64;
        Message { tag, body_bytes, body, place: None }.subject()
    }

    #[test]
    fn a_message_names_what_it_names_once_enough_of_it_has_come() {
        let parse = b"s1\0select $1\0\0\0";
        let expected = Subject::Parse { name: b"s1", definition: Some(b"select $1\0\0\0") };
        assert_eq!(subject(Tag::Parse, parse, parse.len()), expected);
        assert_eq!(subject(Tag::Parse, b"", 9), Subject::Unknown);
        assert_eq!(subject(Tag::Parse, b"\0sel", 9_000_000), Subject::Unnamed { definition: None });
        assert_eq!(subject(Tag::Parse, b"s", PARSE_BYTES_MAX + 1), Subject::Unknown);
        let expected = Subject::Parse { name: b"s", definition: None };
        assert_eq!(subject(Tag::Parse, b"s\0sel", PARSE_BYTES_MAX + 1), expected);

        let bind = b"p\0s1\0\0\0\0\0\0\0";
        let expected = Subject::Bind { portal: b"p", name: b"s1" };
        for end in 0..=bind.len() {
            let found = subject(Tag::Bind, &bind[..end], 1_000_000);
            assert_eq!(found, if end < 5 { Subject::Unknown } else { expected }, "cut at {end}");
        }
        assert_eq!(subject(Tag::Bind, b"p\0\0", 100), Subject::Unnamed { definition: None });
        let long = [b'x'; BIND_NAMES_BYTES_MAX];
        assert_eq!(subject(Tag::Bind, &long, 1_000_000), Subject::Nothing);

        assert_eq!(subject(Tag::Describe, b"Ss1\0", 4), Subject::Describe { name: b"s1" });
        assert_eq!(subject(Tag::Describe, b"Ps1\0", 4), Subject::Portal { name: b"s1" });
        assert_eq!(subject(Tag::Close, b"Ss1\0", 4), Subject::Close { name: b"s1" });
        assert_eq!(subject(Tag::Close, b"Ss", 4), Subject::Unknown);
        assert_eq!(subject(Tag::Close, b"S\0", 2), Subject::Unnamed { definition: None });
    }

    #[test]
    fn what_is_malformed_names_nothing() {
        for (tag, body) in [
            (Tag::Parse, &b"s1"[..]),
            (Tag::Parse, b""),
            (Tag::Bind, b"p\0s1"),
            (Tag::Close, b"Ss1"),
            (Tag::Close, b"Ss\0s\0"),
            (Tag::Describe, b"Xs1\0"),
            (Tag::Describe, b""),
        ] {
            assert_eq!(subject(tag, body, body.len()), Subject::Nothing, "{tag:?} {body:?}");
        }
    }

    #[test]
    fn no_clients_name_is_one_of_ours() {
        assert_eq!(escape(b"s1"), b"");
        assert_eq!(escape(b"tidegate_1"), b"_");
        assert_eq!(escape(b"_tidegate_1"), b"_");
        assert_eq!(escape(b"__"), b"");
    }
}
