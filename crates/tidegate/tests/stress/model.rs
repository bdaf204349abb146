//! What a client's session must be like, as PostgreSQL's documentation has it: settings, the
//! transaction that they are set in, and the statements that it has prepared.

use std::collections::{BTreeMap, BTreeSet};

/// A setting that clients set to values of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Setting {
    Who,
    Note,
    Memory,
    Path,
    Application,
    Zone,
}

impl Setting {
    pub(crate) const ALL: [Self; 6] =
        [Self::Who, Self::Note, Self::Memory, Self::Path, Self::Application, Self::Zone];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Who => "app.who",
            Self::Note => "app.note",
            Self::Memory => "work_mem",
            Self::Path => "search_path",
            Self::Application => "application_name",
            Self::Zone => "TimeZone",
        }
    }

    /// A value that only this client sets, spelled as PostgreSQL shows it.
    pub(crate) fn value(self, client: usize, version: usize) -> String {
        match self {
            Self::Who => format!("{}-{version}", who(client)),
            Self::Note => format!("{} '{version}' \\ \" é", who(client)),
            Self::Memory => format!("{}kB", 4097 + client % 1000), // No whole number of MB.
            Self::Path => format!("{}_{version}, s{}, public", who(client), client % SCHEMAS),
            Self::Application => format!("application of {}-{version}", who(client)),
            // East of Greenwich by as many minutes as the client's number.
            Self::Zone => {
                let (hours, minutes) = (client / 60, client % 60);
                format!("<{}V{version}>-{hours:02}:{minutes:02}", who(client).to_uppercase())
            }
        }
    }

    /// What follows `SET`, for a value that [`Setting::value`] gave.
    pub(crate) fn assignment(self, value: &str) -> String {
        match self {
            Self::Path => format!("search_path TO {value}"),
            Self::Zone => format!("TIME ZONE {}", literal(value)),
            _ => format!("{} = {}", self.name(), literal(value)),
        }
    }
}

/// Schemas with a table `place` that holds their name.
pub(crate) const SCHEMAS: usize = 7;

/// The identity of a client.
pub(crate) fn who(client: usize) -> String {
    format!("c{client:04}")
}

pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

pub(crate) type Values = BTreeMap<Setting, String>;

#[derive(Debug, Clone, Default)]
struct State {
    session: Values,
    local: Values,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transaction {
    None,
    Open,
    Failed,
}

/// A session as it must be.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    /// What a reset returns to.
    startup: Values,
    /// The settings that the client asked for when it connected.
    own: BTreeSet<Setting>,
    state: State,
    transaction: Transaction,
    /// The states at BEGIN and at each savepoint.
    before: Vec<State>,
    /// Prepared statements, by name.
    pub(crate) prepared: BTreeMap<&'static str, String>,
}

impl Model {
    /// A session that has begun with these settings, where others have `defaults`.
    pub(crate) fn new(startup: Values, defaults: &Values) -> Self {
        let is_own = |setting: &Setting| startup.get(setting) != defaults.get(setting);
        Self {
            own: startup.keys().copied().filter(is_own).collect(),
            state: State { session: startup.clone(), local: Values::new() },
            startup,
            transaction: Transaction::None,
            before: Vec::new(),
            prepared: BTreeMap::new(),
        }
    }

    /// Whether the client asked for it when it connected.
    pub(crate) fn is_own(&self, setting: Setting) -> bool {
        self.own.contains(&setting)
    }

    pub(crate) fn value(&self, setting: Setting) -> &str {
        let State { session, local } = &self.state;
        local.get(&setting).or_else(|| session.get(&setting)).map_or("", String::as_str)
    }

    pub(crate) fn set(&mut self, setting: Setting, value: &str) {
        self.state.session.insert(setting, value.into());
        self.state.local.remove(&setting);
    }

    pub(crate) fn set_local(&mut self, setting: Setting, value: &str) {
        self.state.local.insert(setting, value.into());
    }

    pub(crate) fn has_local(&self) -> bool {
        !self.state.local.is_empty()
    }

    pub(crate) fn reset(&mut self, setting: Setting) {
        let value = self.startup.get(&setting).cloned().unwrap_or_default();
        self.set(setting, &value);
    }

    pub(crate) fn reset_all(&mut self) {
        Setting::ALL.into_iter().for_each(|setting| self.reset(setting));
    }

    pub(crate) fn discard_all(&mut self) {
        self.reset_all();
        self.prepared.clear();
    }

    pub(crate) fn transaction(&self) -> Transaction {
        self.transaction
    }

    /// The status that ReadyForQuery must show.
    pub(crate) fn status(&self) -> u8 {
        match self.transaction {
            Transaction::None => b'I',
            Transaction::Open => b'T',
            Transaction::Failed => b'E',
        }
    }

    pub(crate) fn begin(&mut self) {
        self.transaction = Transaction::Open;
        self.before = vec![self.state.clone()];
    }

    /// How many savepoints there are.
    pub(crate) fn savepoints(&self) -> usize {
        self.before.len().saturating_sub(1)
    }

    pub(crate) fn savepoint(&mut self) {
        self.before.push(self.state.clone());
    }

    /// The last savepoint is returned to.
    pub(crate) fn rollback_to(&mut self) {
        self.transaction = Transaction::Open;
        self.state = self.before.last().cloned().unwrap_or_default();
    }

    /// The last savepoint is forgotten.
    pub(crate) fn release(&mut self) {
        self.before.pop();
    }

    /// A statement has failed.
    pub(crate) fn fail(&mut self) {
        if self.transaction == Transaction::Open {
            self.transaction = Transaction::Failed;
        }
    }

    pub(crate) fn rollback(&mut self) {
        self.state = self.before.swap_remove(0);
        self.before.clear();
        self.transaction = Transaction::None;
    }

    pub(crate) fn commit(&mut self) {
        if self.transaction == Transaction::Failed {
            return self.rollback();
        }
        self.state.local.clear();
        self.before.clear();
        self.transaction = Transaction::None;
    }

    /// The schema whose table `place` is found.
    pub(crate) fn place(&self) -> &str {
        let parts = self.value(Setting::Path).split(", ").collect::<Vec<_>>();
        parts
            .get(parts.len().wrapping_sub(2))
            .filter(|part| part.starts_with('s'))
            .map_or("public", |part| part)
    }

    /// How midnight in Greenwich is shown.
    pub(crate) fn midnight(&self) -> String {
        let zone = self.value(Setting::Zone);
        let offset = zone.rsplit_once(">-").map_or("00:00", |(_, offset)| offset);
        let shown = offset.strip_suffix(":00").unwrap_or(offset);
        format!("2024-01-01 {offset}:00+{shown}")
    }
}
