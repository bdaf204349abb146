//! A batch that is sent again, because the server's prepared statement was of no use.
//!
//! A server parses a statement once for all clients, so it may have one that a client would not have
//! on a connection of its own: parsed before a table was changed, where the client has prepared
//! it since; or one that a function has deallocated. Nobody is to notice. When the first answer to
//! a batch is an error of that kind, the batch is sent again, and the statement is parsed anew in
//! front of it.
//!
//! Only a batch that begins a transaction is: then nothing of the transaction was carried out, and
//! nothing told. One that is open (Flush) is ended; a BEGIN in front of it, too, and both begun again.
//! And only when nothing was sent behind it, which PostgreSQL may have carried out.
//!
//! A client that relies on what it was told of the result, and describes it no more, gets the error:
//! the result has changed, and it must know ("cached plan must not change result type").

use tidegate_wire::backend;
use tidegate_wire::frontend::{self, Tag};
use tidegate_wire::sqlstate::SqlState;

use crate::exchange::Fate;
use crate::pieces::Pieces;
use crate::prepared::client::ClientStatements;
use crate::server::{Beside, Heard, REVALIDATES, ServerMachine, is_about_the_statement};

/// A longer batch is not kept. It is what a client may send before it gets a server, so most come
/// whole.
const KEPT_BYTES_MAX: usize = 16 * 1024;

/// The batch under way, as long as it could be sent again.
#[derive(Debug, Default)]
pub(super) struct Kept {
    stage: Stage,
    bytes: Vec<u8>,
    /// The BEGIN in front of it; empty when there is none.
    begin: Vec<u8>,
    /// Nothing of it has been sent to the server yet.
    is_untouched: bool,
    /// It uses what was prepared for others.
    may_be_stale: bool,
    /// What was sent of it is all that the client has said, to the end of a message.
    is_whole: bool,
    /// It is being sent again. That happens once.
    is_second: bool,
    /// The types of parameters, which PostgreSQL tells before it looks whether the statement's
    /// result has changed.
    types: Option<Box<[u8]>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing is kept.
    #[default]
    None,
    /// The batch goes on.
    Open,
    /// Its Sync has been sent. When anything follows, it can't be sent again.
    Ended,
}

impl Kept {
    /// A transaction begins with what is sent next.
    fn start(&mut self) {
        self.stage = Stage::Open;
        self.bytes.clear();
        self.begin.clear();
        self.is_untouched = true;
        self.may_be_stale = false;
    }

    /// Whether nothing of it has been sent yet.
    pub(super) fn is_untouched(&self) -> bool {
        self.stage == Stage::Open && self.is_untouched
    }

    /// It uses what was prepared for others.
    pub(super) fn may_be_stale(&mut self) {
        self.may_be_stale = true;
    }

    /// A BEGIN goes in front of it.
    pub(super) fn begins(&mut self, sql: &[u8]) {
        self.begin.clear();
        self.begin.extend_from_slice(sql);
    }

    /// A message of the client is being sent.
    pub(super) fn sent(&mut self, tag: Tag) {
        self.is_untouched = false;
        self.answered_by_tidegate(tag);
    }

    /// A message of the client need not be sent.
    pub(super) fn answered_by_tidegate(&mut self, tag: Tag) {
        self.stage = match (self.stage, tag) {
            (Stage::Open, Tag::Sync) => Stage::Ended,
            (Stage::Open, Tag::Bind | Tag::Close | Tag::Describe | Tag::Execute)
            | (Stage::Open, Tag::Flush | Tag::Parse) => Stage::Open,
            _ => Stage::None,
        };
    }

    /// Part of it has been sent, as it came from the client.
    fn extend(&mut self, bytes: &[u8], is_whole: bool) {
        self.is_whole = is_whole;
        let is_safe = self.stage == Stage::Ended && !self.may_be_stale;
        if is_safe || self.bytes.len() + bytes.len() > KEPT_BYTES_MAX {
            self.drop();
        }
        if self.stage != Stage::None {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Whether a message of the server's waits for what comes behind it. Then it is kept.
    pub(super) fn holds(&mut self, tag: backend::Tag, body: &[u8]) -> bool {
        let holds = tag == backend::Tag::ParameterDescription && self.is_kept();
        if holds {
            self.types = Some(body.into());
        }
        holds
    }

    /// What was held.
    pub(super) fn take_types(&mut self) -> Option<Box<[u8]>> {
        self.types.take()
    }

    /// Whether the batch under way could be sent again.
    pub(super) fn is_kept(&self) -> bool {
        self.stage != Stage::None && self.is_whole
    }

    /// It can't be sent again.
    pub(super) fn drop(&mut self) {
        self.stage = Stage::None;
    }
}

impl ServerMachine {
    /// The client is about to be relayed, from the beginning of a message on.
    pub(crate) fn relay_begins(&mut self) {
        let is_second = std::mem::take(&mut self.kept.is_second);
        if self.exchange.is_at_rest() && !is_second {
            self.kept.start();
        }
    }

    /// This is what the client has said since. `is_whole`: all of it was sent, and it ends with the
    /// end of a message.
    pub(crate) fn relay_ended(&mut self, bytes: &[u8], is_whole: bool) {
        self.kept.extend(bytes, is_whole);
    }

    /// Looks at an error that the server has sent: whether it is nobody's, as what the client has
    /// sent is sent again.
    pub(super) fn is_taken_back(
        &mut self,
        tag: backend::Tag,
        body: &[u8],
        names: Option<&mut ClientStatements>,
        server: &mut Pieces,
        heard: &mut Heard,
    ) -> bool {
        if tag != backend::Tag::ErrorResponse || !self.kept.is_kept() {
            return false;
        }
        let Ok(fields) = backend::Fields::decode(body) else { return false };
        let Some(sqlstate) = fields.sqlstate().filter(|_| names.is_some()) else { return false };
        let has_changed =
            sqlstate == SqlState::FEATURE_NOT_SUPPORTED && fields.value(b'R') == Some(REVALIDATES);
        let is_missing = sqlstate == SqlState::INVALID_SQL_STATEMENT_NAME;
        let is_unnamed = |number| names.as_ref().is_some_and(|names| names.is_unnamed(number));
        let useless = match (self.exchange.used_next(), self.exchange.defined_next()) {
            (Some((uses, true)), _)
                if is_missing
                    || has_changed && !uses.is_relied_on
                    // The client has sent its text, which was to be parsed: that would tell what is
                    // wrong with it by now.
                    || is_about_the_statement(sqlstate) && is_unnamed(uses.client) =>
            {
                self.statements.useless(uses.server)
            }
            // It was defined with types of parameters that others were told, of which one may be
            // gone.
            (None, Some(defined)) if is_about_the_statement(sqlstate) => {
                let statement = self.statements.named(defined);
                statement.filter(|statement| statement.parameters().is_some()).cloned()
            }
            _ => None,
        };
        let Some(useless) = useless else { return false };
        if !is_missing {
            heard.useless = Some(useless);
        }
        self.take_back(names, server, heard);
        true
    }

    fn take_back(
        &mut self,
        names: Option<&mut ClientStatements>,
        server: &mut Pieces,
        heard: &mut Heard,
    ) {
        self.fate = Fate::Swallow;
        self.kept.types = None;
        let has_sync = self.exchange.take_back();
        self.skip_beside();
        self.beside.push_back(Beside::Again);
        if !has_sync {
            server.own(frontend::push_sync);
            self.exchange.sent(Tag::Sync, Fate::Swallow);
        }
        // What it was to prepare it will prepare again.
        self.settle(names, &mut Pieces::default());
        self.kept.drop();
        self.kept.is_second = true;
        let begin = std::mem::take(&mut self.kept.begin);
        if !begin.is_empty() {
            self.send_beside(Beside::Again, b"ROLLBACK", Fate::SwallowAnswer, server);
            self.begin_ahead(&begin, server);
        }
        heard.again = Some(std::mem::take(&mut self.kept.bytes));
    }
}
