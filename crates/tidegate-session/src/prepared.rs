//! Prepared statements of clients that share servers.
//!
//! A client names its statements as it likes; a server knows them under names of Tidegate's own,
//! counted anew for each server and never used twice there. Between the two stands the
//! [`Statement`]: clients that define the same text with the same parameter types in the same
//! [`Environment`] mean the same one, so a server parses it once for all of them.
//!
//! - [`ClientStatements`]: what a client has named, and which of that PostgreSQL has confirmed.
//! - [`ServerStatements`]: what a server has parsed; at most so many, the longest unused goes.
//! - [`Interner`]: all statements that any client has, so that equal ones are kept once.
//!
//! What PostgreSQL will say of a message is known only when it has said it, and clients do not
//! wait for it. So both sides are changed when a message is sent, and put right when its answer
//! fails; the exchange tells which.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;
use std::sync::{Arc, Weak};

use crate::parameters::StartupParameters;
use crate::pin::PinReason;
use crate::sniff::{Scope, Sniffer};

/// The front of every name that Tidegate gives a statement.
pub const NAME_PREFIX: &[u8] = b"tidegate_";

/// Whether a name looks like one of Tidegate's. A client's that does goes to the server with one
/// underscore more in front, so those with underscores count too.
pub fn is_reserved(name: &[u8]) -> bool {
    let bare = name.iter().position(|byte| *byte != b'_').and_then(|at| name.get(at..));
    bare.is_some_and(|bare| bare.starts_with(NAME_PREFIX))
}

/// Statements of one client. Drivers keep 100 (asyncpg, psycopg, SQLAlchemy, sqlx), 256 (JDBC), or
/// 512 (pgx); a client with more than this keeps a server for itself instead, where PostgreSQL
/// bounds them by its own memory.
pub const CLIENT_STATEMENTS_MAX: usize = 2048;

/// Bytes of names and definitions of one client: a kilobyte for each statement that it may have.
/// Equal ones are kept once, so ten thousand clients of one application take it once, not 20 GB.
pub const CLIENT_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The longest definition (text and parameter types) that is kept. Generated statements with
/// thousands of parameters are some tens of kilobytes.
pub const DEFINITION_BYTES_MAX: usize = 256 * 1024;

/// The longest name of a statement that is kept; drivers' have some twenty bytes.
pub const NAME_BYTES_MAX: usize = 1024;

/// The settings that PostgreSQL parses a client's statements under: constants such as dates are
/// computed when a statement is parsed, names are looked up then. Two clients share a statement
/// only where these agree. Database and role are the pool's, whose servers are not shared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Environment(Arc<str>);

/// Startup parameters that say nothing of what a statement means. All others may: extensions have
/// settings of their own.
const MEANINGLESS: [&str; 6] = [
    "application_name",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "lock_timeout",
    "statement_timeout",
    "transaction_timeout",
];

impl Environment {
    /// That of a client with these startup parameters.
    pub fn of(parameters: &StartupParameters) -> Self {
        let meaning = parameters.iter().filter(|(name, _)| !MEANINGLESS.contains(name));
        let lines = meaning.map(|(name, value)| format!("{name}\0{value}\0"));
        Self(lines.collect::<String>().into())
    }
}

/// A statement's identity, the same for all who mean it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatementId(u64);

/// A statement as clients define it.
#[derive(Debug)]
pub struct Statement {
    id: StatementId,
    definition: Arc<[u8]>,
    pin: Option<PinReason>,
    scope: Option<Scope>,
}

impl Statement {
    /// Its identity.
    pub fn id(&self) -> StatementId {
        self.id
    }

    /// What a Parse says behind the name: the text, a zero byte, the parameter types.
    pub fn definition(&self) -> &[u8] {
        &self.definition
    }

    /// What running it leaves in the session.
    pub fn pin(&self) -> Option<PinReason> {
        self.pin
    }

    /// What running it changes for the rest of the transaction.
    pub fn scope(&self) -> Option<Scope> {
        self.scope
    }
}

/// All statements of all clients, each kept once.
#[derive(Debug, Default)]
pub struct Interner {
    known: BTreeMap<Environment, BTreeMap<Arc<[u8]>, Weak<Statement>>>,
    last: u64,
    /// How many entries there are, and how many there may be before those that nobody has any
    /// more are removed.
    entries: usize,
    sweep_at: usize,
}

/// Entries below this are not worth a sweep; each is a hundred bytes and the definition.
const SWEEP_MIN: usize = 1024;

impl Interner {
    /// The statement with this definition. With no environment, one that nobody else will have.
    pub fn intern(
        &mut self,
        environment: Option<&Environment>,
        definition: &[u8],
    ) -> Arc<Statement> {
        let Some(environment) = environment else { return self.make(definition.into()) };
        let known = self.known.get(environment).and_then(|known| known.get(definition));
        if let Some(statement) = known.and_then(Weak::upgrade) {
            return statement;
        }
        let definition = Arc::<[u8]>::from(definition);
        let statement = self.make(definition.clone());
        if self.entries >= self.sweep_at.max(SWEEP_MIN) {
            self.sweep();
        }
        let known = self.known.entry(environment.clone()).or_default();
        let replaced = known.insert(definition, Arc::downgrade(&statement));
        self.entries += usize::from(replaced.is_none());
        statement
    }

    fn make(&mut self, definition: Arc<[u8]>) -> Arc<Statement> {
        self.last += 1;
        let text = definition.split(|byte| *byte == 0).next().unwrap_or_default();
        let mut sniffer = Sniffer::default();
        sniffer.feed(text, true);
        let (pin, scope) = (sniffer.found(), sniffer.scope());
        Arc::new(Statement { id: StatementId(self.last), definition, pin, scope })
    }

    /// Forgets what nobody has. Doubling what may be there until the next sweep makes its cost
    /// constant per statement.
    fn sweep(&mut self) {
        for known in self.known.values_mut() {
            known.retain(|_, statement| statement.strong_count() > 0);
        }
        self.known.retain(|_, known| !known.is_empty());
        self.entries = self.known.values().map(BTreeMap::len).sum();
        self.sweep_at = self.entries * 2;
    }
}

/// The statements that a client has named.
#[derive(Debug, Default)]
pub struct ClientStatements {
    by_name: BTreeMap<Box<[u8]>, Named>,
    /// What was sent and is not answered yet, in order.
    pending: VecDeque<Pending>,
    bytes: usize,
    last: u32,
}

/// A name that a client has given, as a number: each time that it gives one, another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientName(u32);

#[derive(Debug)]
struct Named {
    number: ClientName,
    statement: Arc<Statement>,
    /// PostgreSQL has accepted it.
    is_confirmed: bool,
}

#[derive(Debug)]
enum Pending {
    Close(Box<[u8]>, Named),
    Parse(Box<[u8]>, StatementId),
}

impl ClientStatements {
    /// The statement of this name, and the number of the name.
    pub fn get(&self, name: &[u8]) -> Option<(ClientName, Arc<Statement>)> {
        self.by_name.get(name).map(|named| (named.number, named.statement.clone()))
    }

    /// Whether PostgreSQL would refuse this name because it is in use. Of one whose own Parse is
    /// still unanswered nobody knows; a client that uses it again thinks that it has failed.
    pub fn is_taken(&self, name: &[u8]) -> bool {
        self.by_name.get(name).is_some_and(|named| named.is_confirmed)
    }

    /// Whether one more may be kept.
    pub fn has_room_for(&self, name: &[u8], definition: &[u8]) -> bool {
        name.len() <= NAME_BYTES_MAX
            && definition.len() <= DEFINITION_BYTES_MAX
            && self.by_name.len() < CLIENT_STATEMENTS_MAX
            && self.bytes + name.len() + definition.len() <= CLIENT_BYTES_MAX
    }

    /// A Parse is being sent or answered.
    pub fn parse_sent(&mut self, name: &[u8], statement: &Arc<Statement>) {
        self.pending.push_back(Pending::Parse(name.into(), statement.id));
        self.last = self.last.wrapping_add(1);
        let number = ClientName(self.last);
        self.put(name, Named { number, statement: statement.clone(), is_confirmed: false });
    }

    /// A Close is being answered. False when there is no statement of this name.
    pub fn close_sent(&mut self, name: &[u8]) -> bool {
        let Some((name, named)) = self.by_name.remove_entry(name) else { return false };
        self.bytes -= size(&name, &named.statement);
        self.pending.push_back(Pending::Close(name, named));
        true
    }

    /// What was sent first of what is not answered has been carried out, or not.
    pub fn settled(&mut self, has_succeeded: bool) {
        match self.pending.pop_front() {
            Some(Pending::Parse(name, id)) => {
                let Some(named) = self.by_name.get_mut(&name) else { return };
                if named.statement.id != id {
                    return; // It was named anew since.
                }
                if has_succeeded {
                    named.is_confirmed = true;
                } else if !named.is_confirmed {
                    self.remove(&name);
                }
            }
            Some(Pending::Close(name, named)) if !has_succeeded => {
                if !self.by_name.contains_key(&name) {
                    self.put(&name, named);
                }
            }
            Some(Pending::Close(..)) | None => {}
        }
    }

    /// PostgreSQL has forgotten all statements.
    pub fn forget(&mut self) {
        self.by_name.retain(|_, named| !named.is_confirmed);
        self.bytes = self.by_name.iter().map(|(name, named)| size(name, &named.statement)).sum();
    }

    /// The name with this number, which may be closing.
    pub fn name(&self, number: ClientName) -> Option<&[u8]> {
        let closing = self.pending.iter().filter_map(|pending| match pending {
            Pending::Close(name, named) => Some((name, named)),
            Pending::Parse(..) => None,
        });
        let mut all = closing.chain(&self.by_name);
        all.find(|(_, named)| named.number == number).map(|(name, _)| &**name)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there are none, and none are on their way.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty() && self.pending.is_empty()
    }

    fn put(&mut self, name: &[u8], named: Named) {
        self.remove(name);
        self.bytes += size(name, &named.statement);
        self.by_name.insert(name.into(), named);
    }

    fn remove(&mut self, name: &[u8]) {
        if let Some(named) = self.by_name.remove(name) {
            self.bytes -= size(name, &named.statement);
        }
    }
}

fn size(name: &[u8], statement: &Statement) -> usize {
    name.len() + statement.definition.len()
}

/// The number that makes a statement's name on one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerName(u32);

impl ServerName {
    /// The name as the server knows it.
    pub fn text(self) -> NameText {
        let mut bytes = [0; NAME_TEXT_BYTES_MAX];
        let mut rest = &mut bytes[..];
        // The longest number fits.
        let _ = rest.write_all(NAME_PREFIX).and_then(|()| write!(rest, "{}", self.0));
        let len = NAME_TEXT_BYTES_MAX - rest.len();
        NameText { bytes, len }
    }
}

/// The prefix, and a number of ten digits at most.
const NAME_TEXT_BYTES_MAX: usize = NAME_PREFIX.len() + 10;

/// A statement's name on a server, spelled out.
#[derive(Debug, Clone, Copy)]
pub struct NameText {
    bytes: [u8; NAME_TEXT_BYTES_MAX],
    len: usize,
}

impl NameText {
    /// The name.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// What a server has parsed for clients.
#[derive(Debug)]
pub struct ServerStatements {
    by_id: BTreeMap<StatementId, Parsed>,
    /// Statements whose Close came to nothing.
    orphans: Vec<ServerName>,
    /// At most so many.
    max: usize,
    last_name: u32,
    /// Counts uses, to tell which was longest unused.
    uses: u64,
    /// Counts the batches that were sent. What fails in one does not fail the next.
    batch: u64,
}

#[derive(Debug)]
struct Parsed {
    /// Kept while a server has it, so that whoever defines it next finds it there.
    _statement: Arc<Statement>,
    name: ServerName,
    used: u64,
    /// The batch that it was sent with.
    batch: u64,
    /// PostgreSQL has said that it is there.
    is_confirmed: bool,
}

impl ServerStatements {
    /// None yet, and at most so many.
    pub fn new(max: usize) -> Self {
        Self { by_id: BTreeMap::new(), orphans: Vec::new(), max, last_name: 0, uses: 0, batch: 0 }
    }

    /// The name of a statement that is there, or that was sent with the same batch: if that fails,
    /// so does what uses it. Of one that was sent with an earlier batch and is not confirmed yet,
    /// nobody knows.
    pub fn used(&mut self, id: StatementId) -> Option<ServerName> {
        self.uses += 1;
        let batch = self.batch;
        let parsed = self.by_id.get_mut(&id)?;
        if !parsed.is_confirmed && parsed.batch != batch {
            return None;
        }
        parsed.used = self.uses;
        Some(parsed.name)
    }

    /// A batch ends.
    pub fn batch_sent(&mut self) {
        self.batch += 1;
    }

    /// Whether a statement was sent and may still fail.
    pub fn is_unsure_of(&self, id: StatementId) -> bool {
        self.by_id.get(&id).is_some_and(|parsed| !parsed.is_confirmed)
    }

    /// A statement is being sent. Says under what name.
    pub fn sent(&mut self, statement: Arc<Statement>) -> ServerName {
        self.uses += 1;
        self.last_name = self.last_name.wrapping_add(1);
        let name = ServerName(self.last_name);
        let (id, used, batch) = (statement.id, self.uses, self.batch);
        let parsed = Parsed { _statement: statement, name, used, batch, is_confirmed: false };
        self.by_id.insert(id, parsed);
        name
    }

    /// One that is to be closed before another is sent; call it until there is none.
    pub fn evict(&mut self) -> Option<ServerName> {
        if let Some(orphan) = self.orphans.pop() {
            return Some(orphan);
        }
        if self.by_id.len() < self.max {
            return None;
        }
        let (oldest, _) = self.by_id.iter().min_by_key(|(_, parsed)| parsed.used)?;
        let oldest = *oldest;
        self.by_id.remove(&oldest).map(|parsed| parsed.name)
    }

    /// PostgreSQL has parsed what was sent under this name, or not.
    pub fn parsed(&mut self, name: ServerName, has_succeeded: bool) {
        let found = self.by_id.iter_mut().find(|(_, parsed)| parsed.name == name);
        match (found, has_succeeded) {
            (Some((_, parsed)), true) => parsed.is_confirmed = true,
            (Some((id, _)), false) => {
                let id = *id;
                self.by_id.remove(&id);
            }
            // It was sent again since, when nobody knew.
            (None, true) => self.orphans.push(name),
            (None, false) => {}
        }
    }

    /// A Close that was sent has not been carried out.
    pub fn not_closed(&mut self, name: ServerName) {
        self.orphans.push(name);
    }

    /// PostgreSQL has forgotten all statements that it had by now.
    pub fn forget(&mut self) {
        self.by_id.retain(|_, parsed| !parsed.is_confirmed);
        self.orphans.clear();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}
