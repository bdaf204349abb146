//! What a server has parsed: at most so many statements, the longest unused goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_wire::planted::{Bug, is_planted};

use crate::prepared::{Columns, NAME_PREFIX, Statement, StatementId};

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
        let id = match self.by_id.last_key_value() {
            Some((another, _)) if is_planted(Bug::StatementOfAnother) => *another,
            _ => id,
        };
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
