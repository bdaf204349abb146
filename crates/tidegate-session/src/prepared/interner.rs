//! All statements that any client has, so that equal ones are kept once; and which texts have come
//! without a name before.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use crate::prepared::{Environment, PLANNED, Statement, StatementId};
use crate::traces::Traces;

/// Where the statements of all clients are kept.
pub trait Library {
    /// The statement with this definition, for all whose environment is the same; with none, one
    /// that nobody else will have.
    fn intern(&mut self, environment: Option<&Environment>, definition: &[u8]) -> Arc<Statement>;

    /// The statement that is meant by a definition that was given no name, if it was seen before and
    /// may be kept. The first time it is only remembered to have been seen: what comes once is not
    /// worth the place of another on a server.
    fn recall(&mut self, environment: &Environment, definition: &[u8]) -> Option<Arc<Statement>>;

    /// Whether clients may name more statements. Where they may not, their names are passed on.
    fn has_room(&self) -> bool {
        true
    }
}

/// What statements take that somebody has, in bytes.
#[derive(Debug, Default, Clone)]
pub struct StatementBytes(Arc<AtomicUsize>);

impl StatementBytes {
    /// How many there are now.
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn count(&self, definition: &[u8]) -> Counted {
        let bytes = ENTRY_BYTES + definition.len();
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Counted { of: self.clone(), bytes }
    }
}

/// One statement that is counted, until it is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    of: StatementBytes,
    bytes: usize,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.of.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// All statements of all clients, each kept once.
#[derive(Debug, Default)]
pub struct Interner {
    known: BTreeMap<Environment, BTreeMap<Arc<[u8]>, Weak<Statement>>>,
    last: u64,
    /// What the entries take, and what they may take before those that nobody has any more are
    /// removed.
    bytes: usize,
    sweep_at: usize,
    held: StatementBytes,
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

impl Library for Interner {
    fn intern(&mut self, environment: Option<&Environment>, definition: &[u8]) -> Arc<Statement> {
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

    fn recall(&mut self, environment: &Environment, definition: &[u8]) -> Option<Arc<Statement>> {
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
}

impl Interner {
    /// What all statements take, whoever has them.
    pub fn held(&self) -> StatementBytes {
        self.held.clone()
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
            _counted: self.held.count(&definition),
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
