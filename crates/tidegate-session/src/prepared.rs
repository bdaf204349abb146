//! Prepared statements of clients that share servers.
//!
//! A client names its statements as it likes; a server knows them under names of Tidegate's own,
//! counted anew for each server and never used twice there. Between the two stands the
//! [`Statement`]: clients that define the same text with the same parameter types in the same
//! [`Environment`] mean the same one, so a server parses it once for all of them.
//!
//! - [`client`]: what a client has named, and which of that PostgreSQL has confirmed.
//! - [`server`]: what a server has parsed; at most so many, the longest unused goes.
//! - [`interner`]: all statements that any client has, so that equal ones are kept once.
//!
//! What PostgreSQL will say of a message is known only when it has said it, and clients do not
//! wait for it. So both sides are changed when a message is sent, and put right when its answer
//! fails; the exchange tells which.

pub mod client;
pub mod interner;
pub mod server;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tidegate_wire::parcel::{Malformed, Packer, Unpacker};

use crate::parameters::{SessionSettings, is_meaningless};
use crate::prepared::interner::{Counted, Library};
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
    _counted: Counted,
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

    fn pack(&self, packer: &mut Packer) {
        packer.maybe(self.environment.as_ref().map(|environment| environment.0.as_bytes()));
        packer.bytes(&self.definition);
        packer.maybe(self.parameters());
        packer.flag(self.is_remarked());
    }

    fn unpack(
        unpacker: &mut Unpacker<'_>,
        library: &mut dyn Library,
    ) -> Result<Arc<Self>, Malformed> {
        let environment = unpacker.maybe()?.map(std::str::from_utf8).transpose();
        let environment = environment.map_err(|_| Malformed)?.map(|text| Environment(text.into()));
        let statement = library.intern(environment.as_ref(), unpacker.bytes()?);
        if let Some(parameters) = unpacker.maybe()? {
            statement.set_parameters(parameters);
        }
        if unpacker.flag()? {
            statement.set_remarked();
        }
        Ok(statement)
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
        let mut hash = Fnv::default();
        hash.add(count);
        for _ in 0..u16::from_be_bytes(*count) {
            let name = rest.iter().position(|byte| *byte == 0)?;
            let column = rest.get(name + 1..name + 1 + COLUMN_BYTES)?;
            hash.add(rest.get(..=name)?);
            hash.add(column.get(TYPE_AT..FORMAT_AT)?);
            rest = rest.get(name + 1 + COLUMN_BYTES..)?;
        }
        Some(Self(hash.0))
    }
}

/// FNV-1a (64 bits): the same in every build, so that a client can be taken over by another.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// In a RowDescription, behind a column's name: table (4 bytes), number in it (2), type (4), its
/// length (2), its modifier (4), format (2). A table that was made anew has another number.
const TYPE_AT: usize = 6;
const FORMAT_AT: usize = 16;
const COLUMN_BYTES: usize = 18;
