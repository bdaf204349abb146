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

use std::ops::Range;
use std::sync::Arc;

use tidegate_wire::frontend::Tag;

use crate::exchange::{About, Fate};
use crate::pieces::Pieces;
use crate::pin::PinReason;
use crate::prepared::{
    ClientStatements, DEFINITION_BYTES_MAX, Environment, NAME_BYTES_MAX, ServerName, Statement,
    is_reserved,
};
use crate::server::ServerMachine;
use crate::sniff::Scope;

/// Finds the statement with a definition, for all whose environment is the same; with none, one
/// that nobody else has.
pub type Intern<'a> = &'a mut dyn FnMut(Option<&Environment>, &[u8]) -> Arc<Statement>;

/// What following a client's statements has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Followed {
    /// Something stays in the session.
    pub(crate) pin: Option<PinReason>,
    /// Statements that were sent to be parsed.
    pub parses: u32,
    /// Statements that the server had.
    pub hits: u32,
    /// Statements that were closed to make room.
    pub evictions: u32,
}

impl Followed {
    pub(crate) fn add(&mut self, other: Self) {
        self.pin = self.pin.or(other.pin);
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
    pub(crate) place: Option<usize>,
}

/// What a message names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject<'a> {
    /// It can't be said yet.
    Unknown,
    /// No statement that Tidegate follows, or a portal.
    Nothing,
    /// A statement that is too large to be kept.
    TooLarge,
    /// The statement that a Bind makes a portal of.
    Bind { portal: &'a [u8], name: &'a [u8] },
    /// The statement that a Close is about.
    Close { name: &'a [u8] },
    /// The statement that a Describe is about.
    Describe { name: &'a [u8] },
    /// The statement that a Parse defines.
    Parse { name: &'a [u8], definition: &'a [u8] },
}

/// A Parse longer than this is not kept.
const PARSE_BYTES_MAX: usize = NAME_BYTES_MAX + 1 + DEFINITION_BYTES_MAX;

/// The names at the front of a Bind, with their zero bytes.
const BIND_NAMES_BYTES_MAX: usize = 2 * (NAME_BYTES_MAX + 1);

impl<'a> Message<'a> {
    /// What it names. What is malformed names nothing: PostgreSQL says what is wrong with it.
    pub(crate) fn subject(&self) -> Subject<'a> {
        let body = self.body;
        let is_whole = u64::try_from(body.len()).is_ok_and(|bytes| bytes >= self.body_bytes);
        let exceeds = |max: usize| usize::try_from(self.body_bytes).is_ok_and(|bytes| bytes > max);
        let name_end = |from: usize| {
            let names = body.get(from..).unwrap_or_default();
            names.iter().position(|byte| *byte == 0).map(|end| from + end)
        };
        match (self.tag, body.first()) {
            (_, None) if !is_whole => Subject::Unknown,
            (Tag::Parse, Some(0)) => Subject::Nothing,
            (Tag::Parse, _) if exceeds(PARSE_BYTES_MAX) => Subject::TooLarge,
            (Tag::Parse, _) if !is_whole => Subject::Unknown,
            (Tag::Parse, _) => match split_name(body) {
                Some((name, definition)) => Subject::Parse { name, definition },
                None => Subject::Nothing,
            },
            (Tag::Bind, _) => {
                let ends = name_end(0).and_then(|portal| Some((portal, name_end(portal + 1)?)));
                match ends {
                    Some((portal, name)) if name > portal + 1 => Subject::Bind {
                        portal: body.get(..portal).unwrap_or_default(),
                        name: body.get(portal + 1..name).unwrap_or_default(),
                    },
                    // Longer names are never kept, so this is not one.
                    None if !is_whole && body.len() < BIND_NAMES_BYTES_MAX => Subject::Unknown,
                    _ => Subject::Nothing,
                }
            }
            (Tag::Close | Tag::Describe, Some(b'S')) => match body.get(1..) {
                _ if exceeds(NAME_BYTES_MAX + 2) => Subject::Nothing,
                _ if !is_whole => Subject::Unknown,
                Some([name @ .., 0]) if !name.is_empty() && !name.contains(&0) => {
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

    /// Passes it on with `front` in place of its first `replaced` bytes.
    pub(crate) fn push(&self, replaced: usize, front: &[&[u8]], out: &mut Pieces) {
        let front_bytes: usize = front.iter().map(|part| part.len()).sum();
        out.own(|own| {
            push_header(self.tag, self.body_bytes, replaced, front_bytes, own);
            front.iter().for_each(|part| own.extend_from_slice(part));
        });
        match self.place {
            Some(start) => out.forward(self.range(start, replaced)),
            None => out.own_bytes(self.body.get(replaced..).unwrap_or_default()),
        }
    }

    fn range(&self, start: usize, from: usize) -> Range<usize> {
        start + from.min(self.body.len())..start + self.body.len()
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

impl ServerMachine {
    /// Passes on a message that names a statement, or answers it. `environment`: that of the
    /// client, where it is known.
    pub(crate) fn follow(
        &mut self,
        message: &Message<'_>,
        subject: &Subject<'_>,
        environment: Option<&Environment>,
        intern: Intern<'_>,
        names: &mut ClientStatements,
        out: &mut Pieces,
    ) -> Followed {
        let mut followed = Followed::default();
        match *subject {
            Subject::Unknown | Subject::Nothing | Subject::TooLarge => {}
            Subject::Parse { name, definition } => {
                let parse = Parse { message, name, definition };
                self.parse(&parse, environment, intern, names, out, &mut followed);
            }
            Subject::Bind { portal, name } => {
                let replaced = portal.len() + name.len() + 2;
                if let Some((used, statement)) = names.get(name) {
                    let known = self.ensure(&statement, out, &mut followed);
                    message.push(replaced, &[portal, b"\0", known.text().as_bytes(), b"\0"], out);
                    self.exchange.sent_using(Tag::Bind, used);
                    followed.pin = followed.pin.or(statement.pin());
                    self.narrow(statement.scope());
                } else {
                    message.push(replaced, &[portal, b"\0", escape(name), name, b"\0"], out);
                    self.sent(Tag::Bind);
                }
            }
            Subject::Describe { name } => {
                let replaced = name.len() + 2;
                if let Some((used, statement)) = names.get(name) {
                    let known = self.ensure(&statement, out, &mut followed);
                    message.push(replaced, &[b"S", known.text().as_bytes(), b"\0"], out);
                    self.exchange.sent_using(Tag::Describe, used);
                } else {
                    message.push(replaced, &[b"S", escape(name), name, b"\0"], out);
                    self.sent(Tag::Describe);
                }
            }
            Subject::Close { name } => {
                if names.close_sent(name) {
                    self.exchange.sent_about(About::Close(None), Fate::Invent);
                } else {
                    message.push(name.len() + 2, &[b"S", escape(name), name, b"\0"], out);
                    self.sent(Tag::Close);
                }
            }
        }
        followed
    }

    fn parse(
        &mut self,
        parse: &Parse<'_>,
        environment: Option<&Environment>,
        intern: Intern<'_>,
        names: &mut ClientStatements,
        out: &mut Pieces,
        followed: &mut Followed,
    ) {
        let Parse { message, name, definition } = *parse;
        if names.is_taken(name)
            && let Some((used, statement)) = names.get(name)
        {
            // PostgreSQL looks at the text first, and then finds that the name is in use.
            let known = self.ensure(&statement, out, followed);
            message.push(name.len(), &[known.text().as_bytes()], out);
            self.exchange.sent_using(Tag::Parse, used);
            return;
        }
        if !names.has_room_for(name, definition) {
            message.push(name.len(), &[escape(name), name], out);
            self.sent(Tag::Parse);
            followed.pin = Some(PinReason::Prepared);
            return;
        }
        // In a failed transaction PostgreSQL refuses even what it has parsed before.
        let is_known = self.parses_as_logged_in() && self.exchange.is_sound();
        let environment = environment.filter(|_| is_known);
        let mut statement = intern(environment, definition);
        if self.statements.is_unsure_of(statement.id()) {
            statement = intern(None, definition); // The one under way may fail.
        }
        names.parse_sent(name, &statement);
        if let Some(known) = self.statements.used(statement.id()) {
            followed.hits += 1;
            self.exchange.sent_about(About::Parse(known), Fate::Invent);
            return;
        }
        let known = self.new_name(&statement, out, followed);
        message.push(name.len(), &[known.text().as_bytes()], out);
        self.exchange.sent_about(About::Parse(known), Fate::Forward);
    }

    /// Sees to it that the server has a statement by the time it reads what follows.
    fn ensure(
        &mut self,
        statement: &Arc<Statement>,
        out: &mut Pieces,
        followed: &mut Followed,
    ) -> ServerName {
        if let Some(known) = self.statements.used(statement.id()) {
            followed.hits += 1;
            return known;
        }
        let known = self.new_name(statement, out, followed);
        let definition = statement.definition();
        out.own(|own| {
            let text = known.text();
            push_header(Tag::Parse, 0, 0, text.as_bytes().len() + 1 + definition.len(), own);
            own.extend_from_slice(text.as_bytes());
            own.push(0);
            own.extend_from_slice(definition);
        });
        self.exchange.sent_about(About::Parse(known), Fate::SwallowUnlessError);
        known
    }

    /// A name for a statement that is to be parsed now, and room for it.
    fn new_name(
        &mut self,
        statement: &Arc<Statement>,
        out: &mut Pieces,
        followed: &mut Followed,
    ) -> ServerName {
        while let Some(old) = self.statements.evict() {
            followed.evictions += 1;
            out.own(|own| {
                let text = old.text();
                push_header(Tag::Close, 0, 0, text.as_bytes().len() + 2, own);
                own.push(b'S');
                own.extend_from_slice(text.as_bytes());
                own.push(0);
            });
            self.exchange.sent_about(About::Close(Some(old)), Fate::SwallowUnlessError);
        }
        followed.parses += 1;
        if self.scope == Some(Scope::Constants) || self.reported.differs() {
            // Constants in it are computed now, and mean what they would mean nowhere else.
            followed.pin = Some(PinReason::Prepared);
        }
        self.statements.sent(statement.clone())
    }

    /// Whether a statement that is parsed now means what it would mean to any client with the same
    /// startup parameters.
    fn parses_as_logged_in(&self) -> bool {
        self.scope.is_none() && !self.reported.differs() && !self.exchange.is_unsure()
    }
}

/// A Parse with its parts.
#[derive(Clone, Copy)]
struct Parse<'a> {
    message: &'a Message<'a>,
    name: &'a [u8],
    definition: &'a [u8],
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
        let expected = Subject::Parse { name: b"s1", definition: b"select $1\0\0\0" };
        assert_eq!(subject(Tag::Parse, parse, parse.len()), expected);
        assert_eq!(subject(Tag::Parse, b"", 9), Subject::Unknown);
        assert_eq!(subject(Tag::Parse, b"\0sel", 9_000_000), Subject::Nothing);
        assert_eq!(subject(Tag::Parse, b"s", PARSE_BYTES_MAX + 1), Subject::TooLarge);

        let bind = b"p\0s1\0\0\0\0\0\0\0";
        let expected = Subject::Bind { portal: b"p", name: b"s1" };
        for end in 0..=bind.len() {
            let found = subject(Tag::Bind, &bind[..end], 1_000_000);
            assert_eq!(found, if end < 5 { Subject::Unknown } else { expected }, "cut at {end}");
        }
        assert_eq!(subject(Tag::Bind, b"p\0\0", 100), Subject::Nothing);
        let long = [b'x'; BIND_NAMES_BYTES_MAX];
        assert_eq!(subject(Tag::Bind, &long, 1_000_000), Subject::Nothing);

        assert_eq!(subject(Tag::Describe, b"Ss1\0", 4), Subject::Describe { name: b"s1" });
        assert_eq!(subject(Tag::Describe, b"Ps1\0", 4), Subject::Nothing);
        assert_eq!(subject(Tag::Close, b"Ss1\0", 4), Subject::Close { name: b"s1" });
        assert_eq!(subject(Tag::Close, b"Ss", 4), Subject::Unknown);
        assert_eq!(subject(Tag::Close, b"S\0", 2), Subject::Nothing);
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
