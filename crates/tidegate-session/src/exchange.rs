//! The exchange: what a server still owes, message by message.
//!
//! Each message that will be answered stands in a queue, with what is to become of its answer:
//! *forward* it to the client, *swallow* it because Tidegate asked on its own account, or *invent*
//! it because the server need not be asked. Everything about pipelines, errors, COPY, and prepared
//! statements is said in these terms.
//!
//! The rules are PostgreSQL's (protocol documentation, "Message Flow"; `postgres.c` and
//! `copyfromparse.c` of PostgreSQL 15 for what the documentation leaves open): an error in an
//! extended message makes the server ignore everything up to the next Sync, also a Query; in
//! copy-in mode Flush and Sync are ignored; CopyData and CopyDone outside of it are too.
//!
//! Where a client breaks the protocol so that nobody can know what will be answered, the exchange
//! becomes *unsure*: everything is forwarded, and the server is never used again.

use std::collections::VecDeque;

use tidegate_wire::backend::{self, TransactionStatus};
use tidegate_wire::frontend;

use crate::prepared::client::ClientName;
use crate::prepared::server::ServerName;

/// Messages of one pipeline whose answers are still to come. Each takes 24 bytes here; a
/// client may have as many on their way as fit the kernel's buffers, and is not read from above
/// this number until answers have come. PostgreSQL sends answers at the latest when its buffer of
/// 8 KiB is full (1,638 of the shortest), so far fewer than this are ever stuck in it.
pub const OWED_MAX: usize = 65_536;

/// What becomes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes to the client.
    Forward,
    /// Nothing was sent; the client gets the answer in its turn. [`Heard`] never says this.
    Invent,
    /// It answers Tidegate itself.
    Swallow,
    /// It answers Tidegate itself, but what the server says beside it is the client's: a
    /// notification, a parameter that has changed. [`Heard`] never says this.
    SwallowAnswer,
    /// It answers Tidegate itself, who asked for the client's sake: an error is the client's.
    /// [`Heard`] never says this.
    SwallowUnlessError,
}

impl Fate {
    /// Whether it answers a message that Tidegate has sent on its own account.
    const fn is_tidegates(self) -> bool {
        self.is_own() || matches!(self, Self::SwallowUnlessError)
    }

    /// Whether it answers a query of Tidegate's own.
    const fn is_own(self) -> bool {
        matches!(self, Self::Swallow | Self::SwallowAnswer)
    }
}

/// What became of a Parse or Close of a prepared statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Which of the two.
    pub about: About,
    /// What became of the answer: the client's own message was answered by PostgreSQL
    /// ([`Fate::Forward`]) or by Tidegate ([`Fate::Invent`]); otherwise it was Tidegate's.
    pub fate: Fate,
    /// Whether it was carried out; otherwise it failed, or was skipped after a failure.
    pub has_succeeded: bool,
}

/// A message about a prepared statement, and the name that the server knows it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// A Close; the client's own has no name, since the server keeps the statement.
    Close(Option<ServerName>),
    /// A Parse.
    Parse(ServerName),
    /// A Parse of the statement without a name.
    ParseUnnamed,
}

/// The prepared statement that a message uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// The client's name for it.
    pub client: ClientName,
    /// The server's.
    pub server: ServerName,
    /// The client takes the result to be what it was told before.
    pub is_relied_on: bool,
}

/// A message whose answer is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bind,
    Close,
    /// CopyDone or CopyFail sent before the server said that it copies; has no answer of its own.
    CopyEnd,
    Describe,
    Execute,
    FunctionCall,
    Parse,
    Query,
    Sync,
}

#[derive(Debug, Clone, Copy)]
struct Owed {
    kind: Kind,
    fate: Fate,
    about: Option<About>,
    uses: Option<Use>,
    /// How many transactions it commits of which PostgreSQL has not said that it has.
    commits: u8,
}

/// What a server waits for that only its client can say. As long as it waits, nobody else has use
/// of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// The rest of a batch: messages of the extended protocol were sent, and answered, and no Sync.
    Batch,
    /// The rest of a copy.
    Copy,
    /// Nothing: it works, or it is free.
    Nothing,
    /// The next statement of a transaction.
    Transaction,
}

/// What a message from the server means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// What becomes of it.
    pub fate: Fate,
    /// Whether it answers something; otherwise the server said it by itself.
    pub is_answer: bool,
}

/// The server said what it can't have said: it is not PostgreSQL, or we have miscounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server sent '{}' where {expected} was due", char::from(.tag.byte()))]
pub struct OutOfStep {
    tag: backend::Tag,
    expected: &'static str,
}

/// What a server still owes.
#[derive(Debug)]
pub struct Exchange {
    owed: VecDeque<Owed>,
    status: TransactionStatus,
    /// Extended messages were sent since the last Sync.
    batch_open: bool,
    /// An extended message failed and no Sync has been sent since: nothing sent now is answered.
    skipping: bool,
    copy_in: bool,
    /// Syncs that the copy under way has eaten, as far as we know.
    eaten: u32,
    /// A copy has failed after it had been sent Syncs: it may have eaten them, or failed before
    /// it read them, and then each is answered.
    doubtful: bool,
    /// Something of the answer to the front of the queue has come that must come before its
    /// ReadyForQuery.
    begun: bool,
    unsure: bool,
    /// How many of those owed are to be invented.
    invented: usize,
    /// How many of those owed end with ReadyForQuery and are not Tidegate's own, whose outcome is
    /// known beforehand.
    readies: usize,
    /// What became of messages about prepared statements, since it was last asked for.
    settled: VecDeque<Settled>,
    /// Queries of Tidegate's own that were skipped after a failure, since it was last asked for.
    skipped: usize,
}

impl Default for Exchange {
    fn default() -> Self {
        Self {
            owed: VecDeque::new(),
            status: TransactionStatus::Idle,
            batch_open: false,
            skipping: false,
            copy_in: false,
            eaten: 0,
            doubtful: false,
            begun: false,
            unsure: false,
            invented: 0,
            readies: 0,
            settled: VecDeque::new(),
            skipped: 0,
        }
    }
}

impl Exchange {
    /// A message is being sent to the server.
    pub fn sent(&mut self, tag: frontend::Tag, fate: Fate) {
        use frontend::Tag;
        let kind = match tag {
            Tag::Bind => Kind::Bind,
            Tag::Close => Kind::Close,
            Tag::Describe => Kind::Describe,
            Tag::Execute => Kind::Execute,
            Tag::Parse => Kind::Parse,
            Tag::FunctionCall => Kind::FunctionCall,
            Tag::Query => Kind::Query,
            Tag::Sync => return self.sent_sync(fate),
            Tag::CopyDone | Tag::CopyFail => return self.sent_copy_end(fate),
            Tag::CopyData | Tag::Flush | Tag::Password | Tag::Terminate => return,
        };
        if self.copy_in {
            // The server may read it as part of the copy, and fail, or after a failure of the
            // copy, and obey.
            self.unsure = true;
        }
        match kind {
            Kind::Query | Kind::FunctionCall => self.batch_open = false,
            _ => self.batch_open = true,
        }
        // What is answered when nobody knows is not asked.
        if !self.skipping && !self.unsure {
            self.owe(kind, fate);
        }
    }

    fn owe(&mut self, kind: Kind, fate: Fate) {
        self.readies += usize::from(kind.ends_ready() && !fate.is_own());
        self.owed.push_back(Owed { kind, fate, about: None, uses: None, commits: 0 });
    }

    /// A message about a prepared statement is being sent, or its answer is to be invented; not
    /// while messages are skipped.
    pub fn sent_about(&mut self, about: About, fate: Fate) {
        debug_assert!(!self.skipping, "what is skipped is about nothing");
        self.sent(about.tag(), fate);
        if self.unsure {
            self.settled.push_back(Settled { about, fate, has_succeeded: true });
        } else if let Some(owed) = self.owed.back_mut() {
            owed.about = Some(about);
            self.invented += usize::from(fate == Fate::Invent);
        }
    }

    /// A message that uses a prepared statement is being sent; not while messages are skipped.
    pub fn sent_using(&mut self, tag: frontend::Tag, fate: Fate, uses: Use) {
        debug_assert!(!self.skipping, "what is skipped uses nothing");
        self.sent(tag, fate);
        if let Some(owed) = self.owed.back_mut()
            && !self.unsure
        {
            owed.uses = Some(uses);
        }
    }

    /// The message that was sent last commits so many transactions. Nothing was sent since.
    pub fn sent_commits(&mut self, count: u32) {
        if let Some(owed) = self.owed.back_mut()
            && !self.skipping
            && !self.unsure
        {
            owed.commits = u8::try_from(count).unwrap_or(u8::MAX);
        }
    }

    /// PostgreSQL says that it has committed one, of what it answers next.
    pub fn commit_confirmed(&mut self) {
        if let Some(owed) = self.owed.front_mut() {
            owed.commits = owed.commits.saturating_sub(1);
        }
    }

    /// Whether something that commits was sent for the client and is not answered.
    pub fn owes_commit(&self) -> bool {
        self.owed.iter().any(|owed| owed.commits > 0 && owed.fate == Fate::Forward)
    }

    /// The server is no more: what is owed will not be answered, and is sent to another.
    pub fn forsake(&mut self) {
        while let Some(owed) = self.owed.pop_front() {
            self.ended(owed, false);
        }
    }

    /// What the server answers next.
    fn next_of_server(&self) -> Option<&Owed> {
        self.owed.iter().find(|owed| owed.fate != Fate::Invent)
    }

    /// The prepared statement that is named by what the server answers next, and whether it is
    /// used, not defined anew.
    pub fn used_next(&self) -> Option<(Use, bool)> {
        let next = self.next_of_server()?;
        Some((next.uses?, next.kind != Kind::Parse))
    }

    /// The prepared statement that the client defines with what the server answers next.
    pub fn defined_next(&self) -> Option<ServerName> {
        let next = self.next_of_server()?;
        match next.about {
            Some(About::Parse(name)) if next.fate == Fate::Forward => Some(name),
            _ => None,
        }
    }

    /// The prepared statement that the server describes next.
    pub fn described_next(&self) -> Option<Use> {
        let next = self.next_of_server()?;
        next.uses.filter(|_| next.kind == Kind::Describe)
    }

    /// Whether Tidegate has asked on its own account what a statement's result is like, and waits
    /// for the answer.
    pub fn describes(&self, name: ServerName) -> bool {
        let is_it = |owed: &Owed| {
            let is_own = owed.kind == Kind::Describe && owed.fate.is_tidegates();
            is_own && owed.uses.is_some_and(|uses| uses.server == name)
        };
        self.owed.iter().any(is_it)
    }

    /// The error that has come is nobody's: what has failed is sent again. The answer to the Sync
    /// behind it is Tidegate's own; false when no Sync has been sent yet.
    pub fn take_back(&mut self) -> bool {
        self.failed(Kind::Bind);
        let Some(sync) = self.owed.front_mut() else { return false };
        self.readies -= usize::from(!sync.fate.is_own());
        sync.fate = Fate::Swallow;
        true
    }

    fn sent_sync(&mut self, fate: Fate) {
        if self.unsure {
            self.batch_open = false;
            return;
        }
        if self.copy_in {
            self.eaten += 1; // Ignored by the server, "for the convenience of client libraries".
            return;
        }
        self.batch_open = false;
        self.skipping = false;
        self.owe(Kind::Sync, fate);
    }

    fn sent_copy_end(&mut self, fate: Fate) {
        if self.copy_in {
            self.copy_in = false; // What it has eaten stays in doubt until it has succeeded.
        } else if self.owed.len() > self.invented && !self.unsure {
            self.owe(Kind::CopyEnd, fate);
        }
    }

    /// Answers that are due before anything else of the server's: the invented ones at the front
    /// of the queue. Call it before a message is heard, and when no more may come for now.
    pub fn invent(&mut self) {
        if self.invented == 0 {
            return;
        }
        while let Some(owed) = self.owed.pop_front_if(|owed| owed.fate == Fate::Invent) {
            self.ended(owed, true);
            self.drop_copy_ends();
        }
        while self.unsure
            && self.invented > 0
            && let Some(place) = self.owed.iter().position(|owed| owed.fate == Fate::Invent)
            && let Some(owed) = self.owed.remove(place)
        {
            self.ended(owed, true); // Its turn can't be known any more.
        }
    }

    /// Whether only invented answers are owed: the server will say nothing that they could wait
    /// for.
    pub fn owes_only_inventions(&self) -> bool {
        self.invented > 0 && (self.invented == self.owed.len() || self.unsure)
    }

    /// How many queries of Tidegate's own were skipped after a failure, and will not be answered.
    pub fn take_skipped(&mut self) -> usize {
        std::mem::take(&mut self.skipped)
    }

    /// What became of messages about prepared statements, in their order.
    pub fn next_settled(&mut self) -> Option<Settled> {
        self.settled.pop_front()
    }

    fn ended(&mut self, owed: Owed, has_succeeded: bool) {
        self.invented -= usize::from(owed.fate == Fate::Invent);
        self.readies -= usize::from(owed.kind.ends_ready() && !owed.fate.is_own());
        if let Some(about) = owed.about {
            self.settled.push_back(Settled { about, fate: owed.fate, has_succeeded });
        }
    }

    /// A message has come from the server. `status` is that of a ReadyForQuery.
    ///
    /// # Errors
    /// [`OutOfStep`] when nothing that was sent has such an answer.
    pub fn heard(
        &mut self,
        tag: backend::Tag,
        status: Option<TransactionStatus>,
    ) -> Result<Heard, OutOfStep> {
        use backend::Tag;
        let front = self.owed.front().copied();
        let (fate, beside) = match front.map(|owed| owed.fate) {
            None | Some(Fate::Forward) => (Fate::Forward, Fate::Forward),
            Some(Fate::Swallow) => (Fate::Swallow, Fate::Swallow),
            Some(Fate::SwallowUnlessError) if tag == Tag::ErrorResponse => {
                (Fate::Forward, Fate::Forward)
            }
            // The server says nothing of what is invented; this answers nothing.
            Some(Fate::Invent | Fate::SwallowAnswer | Fate::SwallowUnlessError) => {
                (Fate::Swallow, Fate::Forward)
            }
        };
        let answer = Ok(Heard { fate, is_answer: true });
        let aside = Ok(Heard { fate: beside, is_answer: false });
        if let Some(status) = status {
            self.status = status;
        }
        match tag {
            // What PostgreSQL remarks upon a message of Tidegate's is for nobody.
            Tag::NoticeResponse if front.is_some_and(|owed| owed.fate.is_tidegates()) => {
                return Ok(Heard { fate: Fate::Swallow, is_answer: false });
            }
            Tag::NoticeResponse | Tag::NotificationResponse | Tag::ParameterStatus => return aside,
            _ if self.unsure => return answer,
            _ => {}
        }
        let Some(front) = front else {
            if self.doubtful && tag == Tag::ReadyForQuery {
                // A Sync had not been eaten.
                self.skipping = false;
                self.batch_open = false;
                return answer;
            }
            // Only an error comes by itself: the server takes its leave.
            return match tag {
                Tag::ErrorResponse => aside,
                _ => Err(OutOfStep { tag, expected: "nothing" }),
            };
        };
        let done = match (front.kind, tag) {
            (_, Tag::ErrorResponse) => {
                self.begun = true;
                self.failed(front.kind);
                return answer;
            }
            // PostgreSQL says what became of a message before it is ready again: a ReadyForQuery
            // without that answers something else, such as a Sync that had not been eaten.
            (kind, Tag::ReadyForQuery) if self.doubtful && !self.begun && kind != Kind::Sync => {
                return answer;
            }
            (Kind::FunctionCall | Kind::Query, Tag::ReadyForQuery) if !self.begun => {
                return Err(OutOfStep { tag, expected: front.kind.answer() });
            }
            (Kind::Bind, Tag::BindComplete)
            | (Kind::Close, Tag::CloseComplete)
            | (Kind::Describe, Tag::NoData | Tag::RowDescription)
            | (
                Kind::Execute,
                Tag::CommandComplete | Tag::EmptyQueryResponse | Tag::PortalSuspended,
            )
            | (Kind::Parse, Tag::ParseComplete)
            | (Kind::FunctionCall | Kind::Query | Kind::Sync, Tag::ReadyForQuery) => true,
            (Kind::Describe, Tag::ParameterDescription)
            | (Kind::FunctionCall, Tag::FunctionCallResponse)
            | (
                Kind::Execute | Kind::Query,
                Tag::DataRow | Tag::CopyOutResponse | Tag::CopyData | Tag::CopyDone,
            )
            | (Kind::Query, Tag::CommandComplete | Tag::EmptyQueryResponse | Tag::RowDescription) => {
                false
            }
            (Kind::Execute | Kind::Query, Tag::CopyInResponse) => {
                self.copy_in_begun();
                false
            }
            (Kind::Execute | Kind::Query, Tag::CopyBothResponse) => {
                self.unsure = true; // Replication: ends only with the connection.
                false
            }
            (kind, tag) => return Err(OutOfStep { tag, expected: kind.answer() }),
        };
        self.begun = !done;
        if tag == Tag::CommandComplete {
            self.eaten = 0;
        }
        if done {
            if let Some(owed) = self.owed.pop_front() {
                self.ended(owed, true);
            }
            self.drop_copy_ends();
        }
        answer
    }

    fn failed(&mut self, kind: Kind) {
        self.copy_in = false;
        self.doubtful |= std::mem::take(&mut self.eaten) > 0;
        if matches!(kind, Kind::FunctionCall | Kind::Query | Kind::Sync) {
            return; // ReadyForQuery follows.
        }
        while let Some(owed) = self.owed.pop_front_if(|owed| owed.kind != Kind::Sync) {
            self.skipped += usize::from(owed.kind == Kind::Query && owed.fate.is_own());
            self.ended(owed, false);
        }
        self.begun = false;
        self.skipping = self.owed.is_empty();
    }

    /// What was sent behind the copying message, before anybody knew that it copies.
    fn copy_in_begun(&mut self) {
        self.copy_in = true;
        self.eaten = 0;
        while let Some(next) = self.owed.get(1).copied() {
            match next.kind {
                Kind::Sync => {
                    self.owed.remove(1);
                    self.readies -= usize::from(!next.fate.is_own());
                    self.eaten += 1;
                }
                Kind::CopyEnd => {
                    self.owed.remove(1);
                    self.copy_in = false;
                    return;
                }
                _ => {
                    self.unsure = true;
                    return;
                }
            }
        }
        // A Sync that the copy has eaten did not close the batch.
        self.batch_open = self.owed.front().is_some_and(|front| front.kind == Kind::Execute);
    }

    fn drop_copy_ends(&mut self) {
        while self.owed.front().is_some_and(|owed| owed.kind == Kind::CopyEnd) {
            self.owed.pop_front();
        }
    }

    /// The status of the last ReadyForQuery.
    pub fn status(&self) -> TransactionStatus {
        self.status
    }

    /// Whether the transaction has failed, and nothing that was sent ends it.
    pub fn is_failed(&self) -> bool {
        let is_ended = || self.owed.iter().any(|owed| owed.kind == Kind::Query);
        self.status == TransactionStatus::Failed && !is_ended()
    }

    /// Whether the server waits for the next transaction: nothing is owed, no batch or copy is
    /// open, and it is in no transaction.
    pub fn is_at_rest(&self) -> bool {
        self.status == TransactionStatus::Idle && self.owes_nothing()
    }

    /// Whether the server owes no answer and waits for no more of a batch or copy.
    pub fn owes_nothing(&self) -> bool {
        self.owed.is_empty() && !self.batch_open && !self.skipping && !self.copy_in && !self.unsure
    }

    /// Whether a batch of the extended protocol has begun and its Sync has not been sent.
    pub fn is_batch_open(&self) -> bool {
        self.batch_open
    }

    /// Whether what is answered next was sent on Tidegate's own account, be it for the client's sake.
    pub fn is_tidegates_next(&self) -> bool {
        self.owed.front().is_some_and(|owed| owed.fate.is_tidegates())
    }

    /// Whether what is answered next is a query of Tidegate's own.
    pub fn is_own_next(&self) -> bool {
        self.owed.front().is_some_and(|owed| owed.fate.is_own())
    }

    /// What the server waits for.
    pub fn waits_for(&self) -> Waits {
        let is_answered = self.owed.is_empty();
        if self.unsure {
            Waits::Nothing
        } else if self.copy_in {
            Waits::Copy
        } else if is_answered && (self.batch_open || self.skipping) {
            Waits::Batch
        } else if is_answered && self.status != TransactionStatus::Idle {
            Waits::Transaction
        } else {
            Waits::Nothing
        }
    }

    /// Whether the server works on something for the client.
    pub fn is_busy_for_client(&self) -> bool {
        self.unsure || self.owed.iter().any(|owed| owed.fate == Fate::Forward)
    }

    /// Whether the server works on something, so that a cancel would have something to stop.
    pub fn is_busy(&self) -> bool {
        self.owed.len() > self.invented || self.unsure
    }

    /// Whether anything is owed behind the query or batch that is answered next.
    pub fn is_pipelined(&self) -> bool {
        let ends = |owed: &Owed| matches!(owed.kind, Kind::Query | Kind::Sync);
        self.owed.iter().position(ends).is_some_and(|end| end + 1 < self.owed.len())
    }

    /// Whether all that was sent has been answered.
    pub fn is_answered(&self) -> bool {
        self.owed.is_empty() && !self.unsure
    }

    /// Whether all batches before the one under way have been answered, so that the state of the
    /// transaction is known.
    pub fn is_current(&self) -> bool {
        self.readies == 0
    }

    /// Whether the server ignores everything up to the next Sync.
    pub fn is_skipping(&self) -> bool {
        self.skipping
    }

    /// Whether nobody can know any more what the server will say.
    pub fn is_unsure(&self) -> bool {
        self.unsure
    }

    /// Whether an answer more than is owed may come. An empty query finds out: its own answer
    /// would not be the first.
    pub fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// The doubt has been removed.
    pub fn settle(&mut self) {
        self.doubtful = false;
    }

    /// Whether so much is owed that the client should not be read from.
    pub fn is_full(&self) -> bool {
        self.owed.len() >= OWED_MAX && !self.unsure
    }

    /// Whether the server reads copy data.
    pub fn is_copying_in(&self) -> bool {
        self.copy_in
    }

    /// Whether a Sync is due before the server listens to anything else.
    pub fn needs_sync(&self) -> bool {
        self.batch_open || self.skipping
    }

    /// The client has gone: whatever is still owed is owed to nobody.
    pub fn swallow_all(&mut self) {
        self.owed.retain(|owed| owed.fate != Fate::Invent);
        self.invented = 0;
        self.readies = 0;
        for owed in &mut self.owed {
            owed.fate = Fate::Swallow;
        }
    }
}

impl About {
    const fn tag(self) -> frontend::Tag {
        match self {
            Self::Close(_) => frontend::Tag::Close,
            Self::Parse(_) | Self::ParseUnnamed => frontend::Tag::Parse,
        }
    }
}

impl Kind {
    const fn ends_ready(self) -> bool {
        matches!(self, Self::FunctionCall | Self::Query | Self::Sync)
    }

    const fn answer(self) -> &'static str {
        match self {
            Self::Bind => "the answer to Bind",
            Self::Close => "the answer to Close",
            Self::CopyEnd => "the end of a copy",
            Self::Describe => "the answer to Describe",
            Self::Execute => "the answer to Execute",
            Self::FunctionCall => "the answer to FunctionCall",
            Self::Parse => "the answer to Parse",
            Self::Query => "the answer to Query",
            Self::Sync => "ReadyForQuery",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays a script and says after each step what is owed. `>` sends (tag bytes of frontend
    /// messages), `<` hears; `Zi`, `Zt`, `Ze` are ReadyForQuery with its status.
    fn play(script: &str) -> String {
        let mut exchange = Exchange::default();
        let mut log = String::new();
        run(&mut exchange, script, |step, outcome, exchange| {
            let rest = if exchange.is_at_rest() { " rest" } else { "" };
            let unsure = if exchange.is_unsure() { " unsure" } else { "" };
            log.push_str(&format!("{step}{outcome} {}{rest}{unsure}\n", exchange.owed.len()));
        });
        log
    }

    fn run(exchange: &mut Exchange, script: &str, mut note: impl FnMut(&str, &str, &Exchange)) {
        for step in script.split_whitespace() {
            let (direction, message) = step.split_at(1);
            let byte = message.as_bytes()[0];
            let outcome = if direction == ">" {
                let tag = frontend::Tag::from_byte(byte).expect("a frontend tag");
                exchange.sent(tag, Fate::Forward);
                String::new()
            } else {
                let tag = backend::Tag::from_byte(byte).expect("a backend tag");
                let status = message.as_bytes().get(1).map(|status| {
                    TransactionStatus::from_byte(status.to_ascii_uppercase()).expect("a status")
                });
                match exchange.heard(tag, status) {
                    Ok(Heard { is_answer: true, .. }) => String::new(),
                    Ok(Heard { is_answer: false, .. }) => " aside".into(),
                    Err(error) => format!(" {error}"),
                }
            };
            note(step, &outcome, exchange);
        }
    }

    /// Whether the script ends at rest, and never says anything out of step.
    #[track_caller]
    fn check(script: &str, at_rest: bool) {
        let log = play(script);
        assert!(!log.contains("the server sent"), "{log}");
        assert_eq!(log.trim_end().ends_with("rest"), at_rest, "{log}");
    }

    #[test]
    fn simple_queries_rest_when_all_are_answered() {
        check(">Q <T <D <C <Zi", true);
        check(">Q <T <D <C <Zt", false);
        check(">Q >Q <C <Zi", false);
        check(">Q >Q <C <Zi <E <Zi", true);
        check(">Q <I <Zi", true);
        check(">F <V <Zi", true);
    }

    #[test]
    fn an_extended_batch_rests_only_after_its_sync() {
        check(">P >B >D >E >S <1 <2 <T <D <D <C <Zi", true);
        check(">P >D >H <1 <t <T", false);
        check(">P >D >H <1 <t <n >B >E >S <2 <s <Zi", true);
        check(">P >B >E >S >P >B >E >S <1 <2 <C <Zi", false);
        check(">C >S <3 <Zi", true);
    }

    #[test]
    fn after_an_error_everything_up_to_the_sync_is_unanswered() {
        check(">P >B >E >S <E <Zi", true);
        check(">P >B >E >H <E", false);
        check(">P >B >E >H <E >B >E >Q >S <Zi", true);
        check(">P >Q >S <E <Zi", true);
        check(">P >B >E >S >P >B >E >S <1 <E <Zi <1 <2 <C <Zi", true);
        check(">P >B >E >S <1 <2 <C <E <Zi", true); // The implicit commit fails at Sync.
    }

    #[test]
    fn copy_in_swallows_syncs_and_ends_with_its_own() {
        check(">Q <G >d >d >c <C <Zi", true);
        check(">Q <G >d >f <E <Zi", true);
        check(">P >B >E >S <1 <2 <G >d >c >S <C <Zi", true);
        check(">P >B >E >S <1 <2 <G >d <E >d >c >S <Zi", true);
        check(">Q >d >c <G <C <Zi", true); // Pipelined before the server said that it copies.
        check(">Q >d >c <E <Zi", true); // There is no such table.
        check(">Q <G >S >d >c <C <Zi", true);
    }

    #[test]
    fn a_copy_that_fails_before_it_reads_answers_the_sync_that_it_did_not_eat() {
        // PostgreSQL 15: COPY to a view says that it copies in, fails, and is ready twice.
        check(">P >B >E >S <1 <2 <G <E <Zi", true);
        check(">P >B >E >S <1 <2 <G >d <E >c >S <Zi", true);
        check(">P >B >E >S >d >c >S <1 <2 <G <E <Zi <Zi", true);
        check(">P >B >E >S >d >c >S >Q <1 <2 <G <E <Zi <Zi <T <C <Zi", true);
        check(">P >B >E >S >d >c >S >P >S <1 <2 <G <E <Zi <Zi <1 <Zi", true);
        assert!(play(">Q <Zi").contains("the server sent 'Z'"));
    }

    #[test]
    fn copy_out_passes() {
        check(">Q <H <d <d <c <C <Zi", true);
    }

    #[test]
    fn a_server_waits_for_what_only_its_client_can_say() {
        use Waits::*;
        for (script, expected) in [
            ("", Nothing),
            (">Q", Nothing),
            (">Q <C <Zi", Nothing),
            (">Q <C <Zt", Transaction),
            (">Q <E <Ze", Transaction),
            (">Q <C <Zt >Q", Nothing),
            (">P >D >H", Nothing),
            (">P >D >H <1 <t <n", Batch),
            (">P >H <E", Batch),
            (">P >S <1 <Zi", Nothing),
            (">Q <G", Copy),
            (">Q <G >d", Copy),
            (">Q <G >c", Nothing),
        ] {
            let mut exchange = Exchange::default();
            run(&mut exchange, script, |_, _, _| {});
            assert_eq!(exchange.waits_for(), expected, "{script}");
        }
    }

    #[test]
    fn a_query_in_the_midst_of_a_copy_makes_the_exchange_unsure_for_good() {
        let log = play(">Q <G >Q <E <Zi <C <Zi");
        assert!(log.trim_end().ends_with("unsure"), "{log}");
        assert!(!log.contains("rest"), "{log}");
    }

    #[test]
    fn what_is_said_beside_a_swallowed_answer_is_the_clients_where_there_is_one() {
        use backend::Tag;
        for (fate, beside) in [(Fate::Swallow, Fate::Swallow), (Fate::SwallowAnswer, Fate::Forward)]
        {
            let mut exchange = Exchange::default();
            exchange.sent(frontend::Tag::Query, fate);
            for tag in [Tag::NotificationResponse, Tag::ParameterStatus] {
                let heard = exchange.heard(tag, None);
                assert_eq!(heard, Ok(Heard { fate: beside, is_answer: false }));
            }
            let heard = exchange.heard(Tag::NoticeResponse, None);
            assert_eq!(heard, Ok(Heard { fate: Fate::Swallow, is_answer: false }));
            for tag in [Tag::RowDescription, Tag::DataRow, Tag::CommandComplete] {
                let heard = exchange.heard(tag, None);
                assert_eq!(heard, Ok(Heard { fate: Fate::Swallow, is_answer: true }));
            }
        }
    }

    #[test]
    fn answers_to_nothing_are_out_of_step_but_notices_are_not() {
        assert!(play("<C").contains("where nothing was due"));
        assert!(play(">Q <1").contains("where the answer to Query was due"));
        assert_eq!(play("<N <S <A"), "<N aside 0 rest\n<S aside 0 rest\n<A aside 0 rest\n");
        assert!(play("<E").contains("aside"));
    }
}
