//! What a client has named, and which of that PostgreSQL has confirmed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tidegate_wire::parcel::{Malformed, Packer, Unpacker};

use crate::prepared::interner::Library;
use crate::prepared::{Columns, DEFINITION_BYTES_MAX, NAME_BYTES_MAX, Statement};

/// Statements of one client. Drivers keep 100 (asyncpg, psycopg, SQLAlchemy, sqlx), 256 (JDBC), or
/// 512 (pgx); a client with more than this keeps a server for itself instead, where PostgreSQL
/// bounds them by its own memory.
pub const CLIENT_STATEMENTS_MAX: usize = 2048;

/// Bytes of names and definitions of one client: a kilobyte for each statement that it may have.
/// Equal ones are kept once, so ten thousand clients of one application take it once, not 20 GB.
pub const CLIENT_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The statements that a client has named.
#[derive(Debug, Default)]
pub struct ClientStatements {
    by_name: BTreeMap<Box<[u8]>, Named>,
    /// What was sent and is not answered yet, in order.
    pending: VecDeque<Pending>,
    /// What the names and definitions take, those that are being closed included.
    bytes: usize,
    /// What of that is the client's own: the names, and what a map keeps beside them.
    own_bytes: usize,
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

    fn pack(&self, packer: &mut Packer) {
        self.statement.pack(packer);
        packer.flag(self.told.is_some());
        if let Some(Columns(told)) = self.told {
            packer.number(told);
        }
        packer.flag(self.asks_again);
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
            self.count(name, &named.statement);
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
                self.discount(&name, &named.statement);
            }
            What::Close(Some(named)) => {
                // What the name was given since was given behind the failure, and has failed too.
                if let Some(newer) = self.by_name.insert(name.clone(), named) {
                    self.discount(&name, &newer.statement);
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
        let closed = self.pending.iter_mut().filter_map(|pending| match &mut pending.what {
            What::Close(closed) => closed.take_if(|named| named.number == number),
            What::Parse(_) => None,
        });
        for named in closed.collect::<Vec<_>>() {
            self.discount(name, &named.statement);
        }
    }

    /// PostgreSQL has forgotten all statements. Nothing was sent since that it would have.
    pub fn forget(&mut self) {
        self.by_name.clear();
        (self.bytes, self.own_bytes) = (0, 0);
        for pending in &self.pending {
            if let What::Close(Some(named)) = &pending.what {
                let (name, definition) = (pending.name.len(), named.statement.definition.len());
                self.bytes += name + definition;
                self.own_bytes += name + ENTRY_BYTES;
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

    /// Whether everything that was sent has been answered.
    pub(crate) fn is_settled(&self) -> bool {
        self.pending.is_empty() && self.unnamed_pending == 0
    }

    /// Packs all of it. It is settled.
    pub(crate) fn pack(&self, packer: &mut Packer) {
        packer.count(self.by_name.len());
        for (name, named) in &self.by_name {
            packer.bytes(name);
            named.pack(packer);
        }
        packer.flag(self.kept_unnamed.is_some());
        if let Some(named) = &self.kept_unnamed {
            named.pack(packer);
        }
        packer.bytes(&self.unnamed);
        packer.flag(self.has_empty);
    }

    /// Those of a client that another process had.
    pub(crate) fn unpack(
        unpacker: &mut Unpacker<'_>,
        library: &mut dyn Library,
    ) -> Result<Self, Malformed> {
        let mut all = Self::default();
        for _ in 0..unpacker.count()? {
            let name = unpacker.bytes()?;
            let named = all.unpack_named(unpacker, library)?;
            all.count(name, &named.statement);
            all.by_name.insert(name.into(), named);
        }
        if unpacker.flag()? {
            all.kept_unnamed = Some(all.unpack_named(unpacker, library)?);
        }
        all.unnamed = unpacker.bytes()?.to_vec();
        all.has_empty = unpacker.flag()?;
        Ok(all)
    }

    fn unpack_named(
        &mut self,
        unpacker: &mut Unpacker<'_>,
        library: &mut dyn Library,
    ) -> Result<Named, Malformed> {
        self.last = self.last.wrapping_add(1);
        let statement = Statement::unpack(unpacker, library)?;
        let told = if unpacker.flag()? { Some(Columns(unpacker.number()?)) } else { None };
        let asks_again = unpacker.flag()?;
        Ok(Named { number: ClientName(self.last), statement, told, asks_again })
    }

    fn remove(&mut self, name: &[u8]) {
        if let Some(named) = self.by_name.remove(name) {
            self.discount(name, &named.statement);
        }
    }

    fn count(&mut self, name: &[u8], statement: &Statement) {
        self.bytes += name.len() + statement.definition.len();
        self.own_bytes += name.len() + ENTRY_BYTES;
    }

    fn discount(&mut self, name: &[u8], statement: &Statement) {
        self.bytes -= name.len() + statement.definition.len();
        self.own_bytes -= name.len() + ENTRY_BYTES;
    }

    /// What nobody else has: names, and the text of a statement without one.
    pub(crate) fn own_bytes(&self) -> usize {
        self.own_bytes + self.unnamed.capacity()
    }
}

/// What the map takes for a name beside its bytes: the node, and what is known of the statement.
const ENTRY_BYTES: usize = 96;
