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
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use crate::parameters::{SessionSettings, is_meaningless};
use crate::traces::Traces;

/// The front of every name that Tidegate gives a statement.
pub const NAME_PREFIX: &[u8] = b"tidegate_";

/// The name of a statement that no server has. Whoever uses it is told what PostgreSQL says where
/// the statement without a name is missing.
pub const NOBODYS: &[u8] = b"tidegate_unnamed";

/// The name of another that no server has. Whoever uses it is told what PostgreSQL says where the
/// result of a statement has changed.
pub(crate) const CHANGED: &[u8] = b"tidegate_changed";

/// Whether a name looks like one of Tidegate's. A client's that does goes to the server with one
/// underscore more in front, so those with underscores count too.
pub fn is_reserved(name: &[u8]) -> bool {
    if name.len() > NAME_BYTES_MAX {
        return false; // Such a name is never looked at, and none of Tidegate's is as long.
    }
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

/// What a client's statements mean what they mean in: database and role, with their tables and types,
/// and the settings that PostgreSQL parses them under: constants such as dates are computed when a
/// statement is parsed, names are looked up then. Two clients share a statement only where these
/// agree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Environment(Arc<str>);

impl Environment {
    /// That of a client of this database and role, with these settings.
    pub fn of(database: &str, role: &str, settings: &SessionSettings) -> Self {
        let meaning = settings.iter().filter(|(name, _)| !is_meaningless(name.as_bytes()));
        let lines = meaning.map(|(name, value)| format!("{name}\0{value}\0"));
        Self(format!("{database}\0{role}\0{}", lines.collect::<String>()).into())
    }

    /// The SQL that turns a session with this one into one with `to`, if they differ.
    pub(crate) fn change_to(&self, to: &Self) -> Option<String> {
        to.settings().change_from(&self.settings())
    }

    fn settings(&self) -> SessionSettings {
        let mut parts = self.0.split('\0').skip(2);
        let mut settings = BTreeMap::new();
        while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            settings.insert(Arc::from(name), Arc::from(value));
        }
        SessionSettings::from_map(&settings)
    }
}

/// A statement's identity, the same for all who mean it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatementId(u64);

/// A statement as clients define it.
#[derive(Debug)]
pub struct Statement {
    id: StatementId,
    /// None when it is nobody else's.
    environment: Option<Environment>,
    definition: Arc<[u8]>,
    /// The types of its parameters, as a client was first told them.
    parameters: OnceLock<Box<[u8]>>,
    /// PostgreSQL has remarked upon it when it was parsed, as it would again.
    is_remarked: AtomicBool,
    is_planned: bool,
    traces: Traces,
}

impl Statement {
    /// Its identity.
    pub fn id(&self) -> StatementId {
        self.id
    }

    /// What a Parse says behind the name: the text with its zero byte, and the parameter types.
    ///
    /// Types that were left to PostgreSQL are those that it has found: a client that was told them
    /// sends values of these, also where a column has another type by now.
    pub fn definition(&self) -> (&[u8], &[u8]) {
        let text = self.definition.iter().position(|byte| *byte == 0).map_or(0, |end| end + 1);
        let (text, types) = self.definition.split_at_checked(text).unwrap_or_default();
        (text, self.parameters.get().map_or(types, |found| found))
    }

    /// The types of its parameters, once a client was told them.
    pub(crate) fn parameters(&self) -> Option<&[u8]> {
        self.parameters.get().map(|types| &**types)
    }

    /// A client was told the types of the parameters, in a ParameterDescription.
    pub(crate) fn set_parameters(&self, description: &[u8]) {
        self.parameters.get_or_init(|| description.into());
    }

    /// Whether its text is empty and it takes no parameters.
    pub(crate) fn is_empty(&self) -> bool {
        let mut parts = self.definition.splitn(2, |byte| *byte == 0);
        let text = parts.next().unwrap_or_default().trim_ascii();
        matches!(text, b"" | b";") && parts.next() == Some(&[0, 0])
    }

    /// The settings that it means what it means under, where these could change it.
    pub(crate) fn bound_to(&self) -> Option<&Environment> {
        self.environment.as_ref().filter(|_| self.has_constants())
    }

    /// Whether it may have constants that settings have a say in: those are written as strings.
    pub(crate) fn has_constants(&self) -> bool {
        self.definition.contains(&b'\'')
            || self.definition.windows(2).any(|pair| {
                let [first, second] = pair else { return false };
                *first == b'$' && !second.is_ascii_digit() // Not the number of a parameter.
            })
    }

    /// What running it does to the session.
    pub fn traces(&self) -> &Traces {
        &self.traces
    }

    /// PostgreSQL remarks upon it (NoticeResponse) when it is parsed.
    pub(crate) fn set_remarked(&self) {
        self.is_remarked.store(true, Ordering::Relaxed);
    }

    /// Whether PostgreSQL has something to say whenever it is parsed, so that whoever prepares it is
    /// to hear it.
    pub(crate) fn is_remarked(&self) -> bool {
        self.is_remarked.load(Ordering::Relaxed)
    }

    /// Whether it may be kept for clients that give it no name: one whose plan is worth keeping, and
    /// that does nothing but read and write tables.
    fn is_plain(&self) -> bool {
        self.is_planned && self.traces.is_empty()
    }

    /// Whether PostgreSQL plans it, so that its result has the same columns in all sessions. That of
    /// a FETCH depends on the cursor.
    pub(crate) fn is_planned(&self) -> bool {
        self.is_planned
    }
}

/// The statements that PostgreSQL plans (PostgreSQL 15, "PREPARE").
const PLANNED: [&[u8]; 8] =
    [b"select", b"insert", b"update", b"delete", b"with", b"merge", b"values", b"table"];

/// Where the statements of all clients are kept.
pub trait Library {
    /// The statement with this definition, for all whose environment is the same; with none, one
    /// that nobody else will have.
    fn intern(&mut self, environment: Option<&Environment>, definition: &[u8]) -> Arc<Statement>;

    /// The statement that is meant by a definition that was given no name, if it is worth to be kept:
    /// it was seen before.
    fn recall(&mut self, environment: &Environment, definition: &[u8]) -> Option<Arc<Statement>>;
}

impl Library for Interner {
    fn intern(&mut self, environment: Option<&Environment>, definition: &[u8]) -> Arc<Statement> {
        Self::intern(self, environment, definition)
    }

    fn recall(&mut self, environment: &Environment, definition: &[u8]) -> Option<Arc<Statement>> {
        Self::recall(self, environment, definition)
    }
}

/// The columns of a statement's result, as they were described: names, types, modifiers. That is
/// what PostgreSQL compares before it says that the result of a cached plan has changed (PostgreSQL
/// 15, `equalTupleDescs`), as far as it is told to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Columns(u64);

impl Columns {
    /// Of a statement without a result.
    pub(crate) const NONE: Self = Self(0);

    /// Of a RowDescription; nothing where it is malformed.
    pub(crate) fn of(description: &[u8]) -> Option<Self> {
        let (count, mut rest) = description.split_first_chunk::<2>()?;
        let mut hasher = DefaultHasher::new();
        count.hash(&mut hasher);
        for _ in 0..u16::from_be_bytes(*count) {
            let name = rest.iter().position(|byte| *byte == 0)?;
            let column = rest.get(name + 1..name + 1 + COLUMN_BYTES)?;
            rest.get(..name)?.hash(&mut hasher);
            column.get(TYPE_AT..FORMAT_AT)?.hash(&mut hasher);
            rest = rest.get(name + 1 + COLUMN_BYTES..)?;
        }
        Some(Self(hasher.finish()))
    }
}

/// In a RowDescription, behind a column's name: table (4 bytes), number in it (2), type (4), its
/// length (2), its modifier (4), format (2). A table that was made anew has another number.
const TYPE_AT: usize = 6;
const FORMAT_AT: usize = 16;
const COLUMN_BYTES: usize = 18;

/// All statements of all clients, each kept once.
#[derive(Debug, Default)]
pub struct Interner {
    known: BTreeMap<Environment, BTreeMap<Arc<[u8]>, Weak<Statement>>>,
    last: u64,
    /// What the entries take, and what they may take before those that nobody has any more are
    /// removed.
    bytes: usize,
    sweep_at: usize,
    /// Definitions without a name, by the front of their hash; the last one that came there.
    seen: Vec<Seen>,
}

/// A definition that was seen without a name.
#[derive(Debug, Default, Clone)]
struct Seen {
    hash: u64,
    /// It is not to be kept.
    is_unfit: bool,
    /// What it means, once it was recalled: to find it in one step.
    statement: Weak<Statement>,
}

/// So many definitions without names are remembered to have been seen: 96 KiB. An application has
/// some hundred texts; those that are made anew each time only push each other out.
const SEEN_MAX: usize = 4096;

/// Less than this is not worth a sweep.
const SWEEP_BYTES_MIN: usize = 4 * 1024 * 1024;

/// What an entry takes beside its definition: nodes of the map, counters, pointers.
const ENTRY_BYTES: usize = 128;

impl Interner {
    /// The statement with this definition. With no environment, one that nobody else will have.
    pub fn intern(
        &mut self,
        environment: Option<&Environment>,
        definition: &[u8],
    ) -> Arc<Statement> {
        let Some(environment) = environment else { return self.make(None, definition.into()) };
        let known = self.known.get(environment).and_then(|known| known.get(definition));
        if let Some(statement) = known.and_then(Weak::upgrade) {
            return statement;
        }
        if self.bytes >= self.sweep_at.max(SWEEP_BYTES_MIN) {
            self.sweep();
        }
        let definition = Arc::<[u8]>::from(definition);
        let statement = self.make(Some(environment.clone()), definition.clone());
        let known = self.known.entry(environment.clone()).or_default();
        // The key of one that is gone would keep its text.
        if known.remove(&definition).is_none() {
            self.bytes += ENTRY_BYTES + definition.len();
        }
        known.insert(definition, Arc::downgrade(&statement));
        statement
    }

    /// The statement that is meant by a definition that was given no name, if it was seen before and
    /// may be kept. The first time it is only remembered to have been seen: what comes once is not
    /// worth the place of another on a server.
    pub fn recall(
        &mut self,
        environment: &Environment,
        definition: &[u8],
    ) -> Option<Arc<Statement>> {
        if self.seen.is_empty() {
            self.seen.resize(SEEN_MAX, Seen::default());
        }
        let (hash, place) = place_of(environment, definition);
        let seen = self.seen.get_mut(place)?;
        if seen.hash != hash {
            *seen = Seen { hash, ..Seen::default() };
            return None;
        }
        if seen.is_unfit {
            return None;
        }
        if let Some(statement) = seen.statement.upgrade()
            && statement.environment.as_ref() == Some(environment)
            && *statement.definition == *definition
            && !statement.is_remarked()
        {
            return Some(statement);
        }
        let statement = self.intern(Some(environment), definition);
        let is_fit = statement.is_plain() && !statement.is_remarked();
        if let Some(seen) = self.seen.get_mut(place) {
            seen.is_unfit = !is_fit;
            seen.statement = Arc::downgrade(&statement);
        }
        is_fit.then_some(statement)
    }

    fn make(&mut self, environment: Option<Environment>, definition: Arc<[u8]>) -> Arc<Statement> {
        self.last += 1;
        let text = definition.split(|byte| *byte == 0).next().unwrap_or_default();
        // Of constants in strings only the words matter, whatever `standard_conforming_strings` is.
        let traces = Traces::of(text, false);
        let mut words = text.trim_ascii_start().split(|byte| !byte.is_ascii_alphabetic());
        let word = words.next().unwrap_or_default();
        let is_planned = PLANNED.iter().any(|planned| word.eq_ignore_ascii_case(planned));
        let (parameters, is_remarked) = (OnceLock::new(), AtomicBool::new(false));
        Arc::new(Statement {
            id: StatementId(self.last),
            environment,
            definition,
            parameters,
            is_remarked,
            is_planned,
            traces,
        })
    }

    /// From now on this definition means another statement: PostgreSQL has found that what was
    /// parsed is of no use any more. Who has it keeps it.
    pub fn forget(&mut self, statement: &Statement) {
        let Some(environment) = &statement.environment else { return };
        let (_, place) = place_of(environment, &statement.definition);
        if let Some(seen) = self.seen.get_mut(place) {
            seen.statement = Weak::new();
        }
        let Some(known) = self.known.get_mut(environment) else { return };
        let found = known.get(&statement.definition).and_then(Weak::upgrade);
        if found.is_some_and(|found| found.id == statement.id) {
            known.remove(&statement.definition);
            self.bytes -= ENTRY_BYTES + statement.definition.len();
        }
    }

    /// From now on every definition means another statement: tables and types have changed, and
    /// with them what a text may mean. Who has a statement keeps it.
    pub fn forget_all(&mut self) {
        self.known.clear();
        self.bytes = 0;
        self.seen.iter_mut().for_each(|seen| seen.statement = Weak::new());
    }

    /// Removes what nobody has. Doubling what may be there until the next sweep makes its cost
    /// constant per statement.
    fn sweep(&mut self) {
        for known in self.known.values_mut() {
            known.retain(|_, statement| statement.strong_count() > 0);
        }
        self.known.retain(|_, known| !known.is_empty());
        let keys = self.known.values().flat_map(BTreeMap::keys);
        self.bytes = keys.map(|definition| ENTRY_BYTES + definition.len()).sum();
        self.sweep_at = self.bytes * 2;
    }
}

/// The hash of a definition that was given no name, and its place among those that were seen.
fn place_of(environment: &Environment, definition: &[u8]) -> (u64, usize) {
    let mut hasher = DefaultHasher::new();
    environment.hash(&mut hasher);
    definition.hash(&mut hasher);
    let hash = hasher.finish();
    let [low, high, ..] = hash.to_le_bytes();
    (hash, usize::from(u16::from_le_bytes([low, high])) % SEEN_MAX)
}

/// The statements that a client has named.
#[derive(Debug, Default)]
pub struct ClientStatements {
    by_name: BTreeMap<Box<[u8]>, Named>,
    /// What was sent and is not answered yet, in order.
    pending: VecDeque<Pending>,
    /// What the names and definitions take, those that are being closed included.
    bytes: usize,
    last: u32,
    /// Counts the batches that were sent. What fails in one does not fail the next.
    batch: u64,
    /// The statement without a name, where it is one that is kept.
    kept_unnamed: Option<Named>,
    /// The definition of the statement without a name where it is not kept; empty when there is none.
    /// It may be used with another batch, and so on another server, than the one that brought it.
    unnamed: Vec<u8>,
    /// How many Parses of it are not answered yet.
    unnamed_pending: u32,
    /// An empty statement was prepared without a server.
    has_empty: bool,
}

/// A name that a client has given, as a number: each time that it gives one, another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientName(u32);

/// A statement that a client has named.
#[derive(Debug, Clone)]
pub struct Named {
    /// The number of the name.
    pub number: ClientName,
    /// What it stands for.
    pub statement: Arc<Statement>,
    /// The columns of its result, as the client was told them.
    told: Option<Columns>,
    /// The client has asked again what it had been told: it asks whenever it runs the statement.
    asks_again: bool,
}

impl Named {
    /// The columns that the client takes the result to have, because it was told so and does not
    /// ask again.
    pub(crate) fn relies_on(&self) -> Option<Columns> {
        self.told.filter(|_| !self.asks_again)
    }

    /// Whether the client was told the columns of the result.
    pub(crate) fn is_told(&self) -> bool {
        self.told.is_some()
    }
}

#[derive(Debug)]
struct Pending {
    batch: u64,
    name: Box<[u8]>,
    what: What,
}

#[derive(Debug)]
enum What {
    /// With what the name stood for; nothing, when it has turned out that it stood for nothing.
    Close(Option<Named>),
    /// With the number that the name got.
    Parse(ClientName),
}

/// Names may be given and closed so often before the answers come; a client that is ahead by more
/// waits for them.
const PENDING_MAX: usize = 256;

impl ClientStatements {
    /// What this name stands for.
    pub fn get(&self, name: &[u8]) -> Option<&Named> {
        if name.is_empty() { self.kept_unnamed.as_ref() } else { self.by_name.get(name) }
    }

    /// Whether this is the number of the statement without a name.
    pub(crate) fn is_unnamed(&self, number: ClientName) -> bool {
        self.kept_unnamed.as_ref().is_some_and(|named| named.number == number)
    }

    /// The client is told the columns of a statement's result.
    pub(crate) fn told(&mut self, number: ClientName, columns: Option<Columns>) {
        if let Some(named) = self.by_number(number) {
            named.told = columns;
        }
    }

    /// The client asks for the columns of what it is about to run, though it was told them.
    pub(crate) fn asked_again(&mut self, number: ClientName) {
        if let Some(named) = self.by_number(number) {
            named.asks_again = true;
        }
    }

    fn by_number(&mut self, number: ClientName) -> Option<&mut Named> {
        let mut all = self.kept_unnamed.iter_mut().chain(self.by_name.values_mut());
        all.find(|named| named.number == number)
    }

    /// An empty statement is prepared without a server, as by a driver that pings.
    pub(crate) fn note_empty(&mut self) {
        self.has_empty = true;
    }

    /// Whether one was.
    pub(crate) fn has_empty(&self) -> bool {
        self.has_empty
    }

    /// Whether one more may be kept.
    pub fn has_room_for(&self, name: &[u8], definition: &[u8]) -> bool {
        name.len() <= NAME_BYTES_MAX
            && definition.len() <= DEFINITION_BYTES_MAX
            && self.by_name.len() < CLIENT_STATEMENTS_MAX
            && self.bytes + name.len() + definition.len() <= CLIENT_BYTES_MAX
    }

    /// Whether nobody knows what the name stands for before answers have come: of what was sent
    /// with an earlier batch. Within a batch it is known: if one message fails, so does the rest.
    pub fn is_unsettled(&self, name: &[u8]) -> bool {
        let earlier = self.pending.iter().take_while(|pending| pending.batch != self.batch);
        self.pending.len() >= PENDING_MAX || earlier.into_iter().any(|p| *p.name == *name)
    }

    /// A batch ends.
    pub fn batch_sent(&mut self) {
        self.batch += 1;
    }

    /// A Parse is being sent or answered. The name is free.
    pub fn parse_sent(&mut self, name: &[u8], statement: &Arc<Statement>) {
        self.last = self.last.wrapping_add(1);
        let number = ClientName(self.last);
        let what = What::Parse(number);
        self.pending.push_back(Pending { batch: self.batch, name: name.into(), what });
        let statement = statement.clone();
        let named = Named { number, statement, told: None, asks_again: false };
        if name.is_empty() {
            self.unnamed.clear();
            self.kept_unnamed = Some(named);
        } else {
            self.bytes += size(name, &named.statement);
            self.by_name.insert(name.into(), named);
        }
    }

    /// A Close is being answered. False when there is no statement of this name.
    pub fn close_sent(&mut self, name: &[u8]) -> bool {
        if name.is_empty() {
            let Some(_) = self.kept_unnamed.take() else { return false };
            let what = What::Close(None);
            self.pending.push_back(Pending { batch: self.batch, name: name.into(), what });
            return true;
        }
        let Some((name, named)) = self.by_name.remove_entry(name) else { return false };
        let what = What::Close(Some(named));
        self.pending.push_back(Pending { batch: self.batch, name, what });
        true
    }

    /// What was sent first of what is not answered has been carried out, or not.
    pub fn settled(&mut self, has_succeeded: bool) {
        let Some(Pending { name, what, .. }) = self.pending.pop_front() else { return };
        match what {
            What::Close(None) => {}
            What::Close(Some(named)) if has_succeeded => {
                self.bytes -= size(&name, &named.statement);
            }
            What::Close(Some(named)) => {
                // What the name was given since was given behind the failure, and has failed too.
                if let Some(newer) = self.by_name.insert(name.clone(), named) {
                    self.bytes -= size(&name, &newer.statement);
                }
            }
            What::Parse(number) => {
                if !has_succeeded {
                    self.undefine(&name, number);
                }
            }
        }
    }

    /// A Parse has failed: the name that it gave stands for nothing, also if it was closed since.
    fn undefine(&mut self, name: &[u8], number: ClientName) {
        if name.is_empty() {
            self.kept_unnamed.take_if(|named| named.number == number);
            return;
        }
        if self.by_name.get(name).is_some_and(|named| named.number == number) {
            return self.remove(name);
        }
        for pending in &mut self.pending {
            if let What::Close(closed) = &mut pending.what
                && let Some(named) = closed.take_if(|named| named.number == number)
            {
                self.bytes -= size(name, &named.statement);
            }
        }
    }

    /// PostgreSQL has forgotten all statements. Nothing was sent since that it would have.
    pub fn forget(&mut self) {
        self.by_name.clear();
        self.bytes = 0;
        for pending in &self.pending {
            if let What::Close(Some(named)) = &pending.what {
                self.bytes += size(&pending.name, &named.statement);
            }
        }
    }

    /// The definition of the statement without a name; empty when there is none, or it is too long.
    pub fn unnamed(&self) -> &[u8] {
        &self.unnamed
    }

    /// A Parse of the statement without a name is being sent.
    pub fn unnamed_sent(&mut self, definition: Option<&[u8]>) {
        self.kept_unnamed = None;
        self.unnamed.clear();
        self.unnamed.extend_from_slice(definition.unwrap_or_default());
        self.unnamed_pending += 1;
    }

    /// A Parse of the statement without a name has been answered, or skipped.
    pub fn unnamed_settled(&mut self, has_succeeded: bool) {
        self.unnamed_pending = self.unnamed_pending.saturating_sub(1);
        if !has_succeeded && self.unnamed_pending == 0 {
            self.unnamed.clear();
        }
    }

    /// A query of the simple protocol takes the place of the statement without a name.
    pub fn forget_unnamed(&mut self) {
        self.kept_unnamed = None;
        self.unnamed.clear();
    }

    /// The name with this number, which may be closing.
    pub fn name(&self, number: ClientName) -> Option<&[u8]> {
        let closing = self.pending.iter().filter_map(|pending| match &pending.what {
            What::Close(named) => named.as_ref().map(|named| (&pending.name, named)),
            What::Parse(_) => None,
        });
        let mut all = closing.chain(&self.by_name);
        let found = all.find(|(_, named)| named.number == number).map(|(name, _)| &**name);
        found.or_else(|| self.is_unnamed(number).then_some(b""))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there are none, and none are on their way.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty() && self.pending.is_empty()
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
        let mut bytes = [b'0'; NAME_TEXT_BYTES_MAX];
        let mut from = NAME_TEXT_BYTES_MAX;
        let mut rest = self.0;
        // From the end: the number, and the prefix in front of it. Both fit.
        loop {
            from -= 1;
            if let (Some(byte), Ok(digit)) = (bytes.get_mut(from), u8::try_from(rest % 10)) {
                *byte = b'0' + digit;
            }
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        from -= NAME_PREFIX.len();
        if let Some(front) = bytes.get_mut(from..from + NAME_PREFIX.len()) {
            front.copy_from_slice(NAME_PREFIX);
        }
        NameText { bytes, from }
    }
}

/// The prefix, and a number of ten digits at most.
const NAME_TEXT_BYTES_MAX: usize = NAME_PREFIX.len() + 10;

/// A statement's name on a server, spelled out.
#[derive(Debug, Clone, Copy)]
pub struct NameText {
    bytes: [u8; NAME_TEXT_BYTES_MAX],
    from: usize,
}

impl NameText {
    /// The name.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(self.from..).unwrap_or_default()
    }
}

/// What a server has parsed for clients.
#[derive(Debug)]
pub struct ServerStatements {
    by_id: BTreeMap<StatementId, Parsed>,
    /// Statements that nobody will use any more; each is closed before the next is parsed.
    orphans: Vec<ServerName>,
    /// Statements that were parsed under settings that end with the lease.
    foreign: Vec<StatementId>,
    /// At most so many.
    max: usize,
    last_name: u32,
    /// Counts uses, to tell which was longest unused.
    uses: u64,
    /// Counts the batches that were sent.
    batch: u64,
}

#[derive(Debug)]
struct Parsed {
    statement: Arc<Statement>,
    name: ServerName,
    used: u64,
    /// The batch that it was sent with.
    batch: u64,
    /// PostgreSQL has said that it is there.
    is_confirmed: bool,
    /// The columns of its result, once they were described.
    columns: Option<Columns>,
}

impl ServerStatements {
    /// None yet, and at most so many.
    pub fn new(max: usize) -> Self {
        Self {
            by_id: BTreeMap::new(),
            orphans: Vec::new(),
            foreign: Vec::new(),
            max,
            last_name: 0,
            uses: 0,
            batch: 0,
        }
    }

    /// The name of a statement that is there, or was sent, and what its result was described to be.
    pub(crate) fn used(&mut self, id: StatementId) -> Option<(ServerName, Option<Columns>)> {
        self.uses += 1;
        let parsed = self.by_id.get_mut(&id)?;
        parsed.used = self.uses;
        Some((parsed.name, parsed.columns))
    }

    /// Whether it may yet turn out that a statement is not there: of one that was sent with an
    /// earlier batch and is not confirmed. Within a batch it does not matter: if the statement
    /// fails, so does what uses it.
    pub fn is_unsettled(&self, id: StatementId) -> bool {
        let parsed = self.by_id.get(&id);
        parsed.is_some_and(|parsed| !parsed.is_confirmed && parsed.batch != self.batch)
    }

    /// Whether a statement was sent and may still fail.
    pub fn is_unsure_of(&self, id: StatementId) -> bool {
        self.by_id.get(&id).is_some_and(|parsed| !parsed.is_confirmed)
    }

    /// The batch that is being sent.
    pub(crate) fn batch(&self) -> u64 {
        self.batch
    }

    /// A statement is of no use to the client that comes now.
    pub(crate) fn retire_one(&mut self, id: StatementId) {
        self.orphans.extend(self.by_id.remove(&id).map(|parsed| parsed.name));
    }

    /// The columns of a statement's result are these.
    pub(crate) fn set_columns(&mut self, name: ServerName, columns: Option<Columns>) {
        if let Some(parsed) = self.by_id.values_mut().find(|parsed| parsed.name == name) {
            parsed.columns = columns;
        }
    }

    /// The statement of this name.
    pub(crate) fn named(&self, name: ServerName) -> Option<&Arc<Statement>> {
        let parsed = self.by_id.values().find(|parsed| parsed.name == name);
        parsed.map(|parsed| &parsed.statement)
    }

    /// The types of a statement's parameters are these, to whoever uses it from now on.
    pub(crate) fn set_parameters(&self, name: ServerName, description: &[u8]) {
        // What it is under settings of the lease only is nothing to others.
        if let Some(statement) = self.named(name)
            && !self.foreign.contains(&statement.id)
        {
            statement.set_parameters(description);
        }
    }

    /// A batch ends.
    pub fn batch_sent(&mut self) {
        self.batch += 1;
    }

    /// A statement that is not there is being sent. Says under what name.
    pub fn sent(&mut self, statement: Arc<Statement>, origin: Origin) -> ServerName {
        self.uses += 1;
        self.last_name = self.last_name.wrapping_add(1);
        let name = ServerName(self.last_name);
        if origin == Origin::Foreign {
            self.foreign.push(statement.id);
        }
        let (id, used, batch) = (statement.id, self.uses, self.batch);
        self.by_id.insert(
            id,
            Parsed { statement, name, used, batch, is_confirmed: false, columns: None },
        );
        name
    }

    /// One that is to be closed before another is sent; call it until there is none. What is not
    /// confirmed yet stays.
    pub fn evict(&mut self) -> Option<ServerName> {
        if let Some(orphan) = self.orphans.pop() {
            return Some(orphan);
        }
        if self.by_id.len() < self.max {
            return None;
        }
        let confirmed = self.by_id.iter().filter(|(_, parsed)| parsed.is_confirmed);
        let (oldest, _) = confirmed.min_by_key(|(_, parsed)| parsed.used)?;
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
            (None, true) => self.orphans.push(name), // Nobody wants it any more.
            (None, false) => {}
        }
    }

    /// A Close that was sent has not been carried out.
    pub fn not_closed(&mut self, name: ServerName) {
        self.orphans.push(name);
    }

    /// Using the statement of this name has failed in a way that it will fail again: it is of no
    /// use any more. Says which it was.
    pub fn useless(&mut self, name: ServerName) -> Option<Arc<Statement>> {
        let (id, _) = self.by_id.iter().find(|(_, parsed)| parsed.name == name)?;
        let id = *id;
        self.orphans.push(name);
        self.by_id.remove(&id).map(|parsed| parsed.statement)
    }

    /// A lease begins: what was parsed under the settings of the last is of no use.
    pub fn begin_lease(&mut self) {
        for id in std::mem::take(&mut self.foreign) {
            self.orphans.extend(self.by_id.remove(&id).map(|parsed| parsed.name));
        }
    }

    /// What the session is like has changed for good: all that was parsed is of no use.
    pub fn retire(&mut self) {
        self.orphans.extend(self.by_id.values().map(|parsed| parsed.name));
        self.by_id.clear();
        self.foreign.clear();
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

/// Whether a statement means what it would mean to anybody with the same startup parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It does.
    AsLoggedIn,
    /// It was parsed under other settings.
    Foreign,
}
