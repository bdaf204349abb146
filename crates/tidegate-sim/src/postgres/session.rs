//! A session: its settings, its transaction, its statements.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::postgres::sql::{Question, Reason, Statement, Value};

type Settings = BTreeMap<String, String>;

/// Where a session stands between two statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Idle,
    Block,
    Failed,
}

/// What a statement comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Result {
    Rows { columns: Vec<&'static str>, rows: Vec<Vec<Option<String>>>, tag: String },
    Tag(String),
    Empty,
    CopyIn,
    Error { code: &'static str, message: String },
}

#[derive(Debug)]
pub(crate) struct Session {
    settings: Settings,
    local: Settings,
    /// The settings when the transaction began.
    before: Option<Settings>,
    pub(crate) status: Status,
    /// What this transaction has written.
    written: Vec<String>,
    /// What has been committed and not been entered yet.
    pub(crate) committed: Vec<String>,
    /// The client whose transaction it is, as its statements tell.
    client: Option<String>,
    pub(crate) statements: BTreeMap<Vec<u8>, String>,
    pub(crate) portals: BTreeMap<Vec<u8>, (String, Vec<String>)>,
    locks: BTreeSet<String>,
    /// What must not be.
    pub(crate) violations: Vec<String>,
}

/// What PostgreSQL reports when it changes.
const REPORTED: [(&str, &str); 6] = [
    ("application_name", ""),
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, MDY"),
    ("server_version", "15.14"),
    ("standard_conforming_strings", "on"),
    ("TimeZone", "UTC"),
];

impl Session {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            local: Settings::new(),
            before: None,
            status: Status::Idle,
            written: Vec::new(),
            committed: Vec::new(),
            client: None,
            statements: BTreeMap::new(),
            portals: BTreeMap::new(),
            locks: BTreeSet::new(),
            violations: Vec::new(),
        }
    }

    /// What is reported now.
    pub(crate) fn reported(&self) -> Vec<(&'static str, String)> {
        let value = |(name, default): &(&'static str, &str)| {
            (*name, self.value(&name.to_lowercase()).unwrap_or((*default).to_owned()))
        };
        REPORTED.iter().map(value).collect()
    }

    fn value(&self, name: &str) -> Option<String> {
        self.local.get(name).or_else(|| self.settings.get(name)).cloned()
    }

    /// A message of the extended protocol, or a query, begins: from here on what it changes can be
    /// taken back.
    pub(crate) fn begin_implicitly(&mut self) {
        if self.before.is_none() {
            self.before = Some(self.settings.clone());
        }
    }

    /// A query or a batch has ended: without a block, so has its transaction.
    pub(crate) fn end_implicitly(&mut self, has_failed: bool) {
        match self.status {
            Status::Idle if has_failed => self.roll_back(),
            Status::Idle => self.commit(),
            Status::Block if has_failed => self.status = Status::Failed,
            Status::Block | Status::Failed => {}
        }
    }

    fn commit(&mut self) {
        self.committed.append(&mut self.written);
        self.end();
    }

    pub(crate) fn roll_back(&mut self) {
        self.written.clear();
        if let Some(before) = self.before.take() {
            self.settings = before;
        }
        self.end();
    }

    fn end(&mut self) {
        self.before = None;
        self.local.clear();
        self.client = None;
        self.status = Status::Idle;
        self.portals.clear();
    }

    /// Runs a statement. An error leaves it to the caller to fail the transaction.
    pub(crate) fn run(&mut self, statement: &Statement, parameters: &[String]) -> Result {
        let ends = matches!(statement, Statement::Commit | Statement::Rollback);
        if self.status == Status::Failed && !ends {
            let message = "current transaction is aborted, commands ignored until end of \
                           transaction block";
            return error("25P02", message);
        }
        let tag = |tag: &str| Result::Tag(tag.to_owned());
        match statement {
            Statement::Empty => Result::Empty,
            Statement::Begin => {
                self.begin_implicitly();
                self.status = Status::Block;
                tag("BEGIN")
            }
            Statement::Commit if self.status == Status::Failed => {
                self.roll_back();
                tag("ROLLBACK")
            }
            Statement::Commit => {
                self.commit();
                self.begin_implicitly();
                tag("COMMIT")
            }
            Statement::Rollback => {
                self.roll_back();
                self.begin_implicitly();
                tag("ROLLBACK")
            }
            Statement::CopyIn => Result::CopyIn,
            Statement::Divide => error("22012", "division by zero"),
            Statement::Nothing(words) => tag(words),
            Statement::Reset(None) => {
                self.settings.clear();
                self.local.clear();
                tag("RESET")
            }
            Statement::Reset(Some(name)) => {
                self.settings.remove(name);
                self.local.remove(name);
                tag("RESET")
            }
            Statement::ResetAll(words) => {
                self.statements.clear();
                if *words == "DISCARD ALL" {
                    self.settings.clear();
                    self.locks.clear();
                }
                tag(words)
            }
            Statement::Set { name, value, is_local, is_call } => {
                let settings = if *is_local { &mut self.local } else { &mut self.settings };
                match value {
                    Some(value) => drop(settings.insert(name.clone(), value.clone())),
                    None => drop(settings.remove(name)),
                }
                if *is_call { one(vec![value.clone()], vec!["set_config"]) } else { tag("SET") }
            }
            Statement::Restore(settings) => {
                let missing = settings.iter().filter(|(name, _)| !self.settings.contains_key(name));
                let missing: Vec<_> = missing.cloned().collect();
                let rows: Vec<_> = missing.iter().map(|(_, v)| vec![Some(v.clone())]).collect();
                self.settings.extend(missing);
                let tag = format!("SELECT {}", rows.len());
                Result::Rows { columns: vec!["set_config"], rows, tag }
            }
            Statement::Lock(key) => {
                self.locks.insert(key.clone());
                one(vec![Some(String::new())], vec!["pg_advisory_lock"])
            }
            Statement::Unlock(key) => {
                let held = self.locks.remove(key);
                one(vec![Some(if held { "t" } else { "f" }.into())], vec!["pg_advisory_unlock"])
            }
            Statement::UnlockAll => {
                self.locks.clear();
                one(vec![Some(String::new())], vec!["pg_advisory_unlock_all"])
            }
            Statement::Insert(value) => {
                let identity = self.identity(value, parameters);
                self.write(&identity);
                tag("INSERT 0 1")
            }
            Statement::Show(value, name) => {
                let identity = self.identity(value, parameters);
                let row = vec![Some(identity), self.value(name)];
                one(row, vec!["?column?", "current_setting"])
            }
            Statement::Sleep(value, _) => {
                let identity = self.identity(value, parameters);
                one(vec![Some(identity)], vec!["?column?"])
            }
            Statement::Series(value, end) => {
                let identity = self.identity(value, parameters);
                let row = |number: usize| vec![Some(identity.clone()), Some(number.to_string())];
                let rows: Vec<_> = (1..=*end).map(row).collect();
                let tag = format!("SELECT {}", rows.len());
                Result::Rows { columns: vec!["?column?", "g"], rows, tag }
            }
            Statement::Examine(questions) => self.examine(questions),
            Statement::Unknown(shape) => {
                self.violations.push(format!("the model does not know [{shape}]"));
                error("42601", "syntax error")
            }
        }
    }

    /// Writes one line into the ledger, once the transaction commits.
    pub(crate) fn write(&mut self, identity: &str) {
        self.begin_implicitly();
        self.written.push(identity.to_owned());
    }

    /// Whose statement it is. Within one transaction there is one client, and it finds no setting
    /// of another.
    pub(crate) fn identity(&mut self, value: &Value, parameters: &[String]) -> String {
        let identity = match value {
            Value::Text(text) => text.clone(),
            Value::Parameter => parameters.first().cloned().unwrap_or_default(),
        };
        self.seen(&identity);
        identity
    }

    pub(crate) fn seen(&mut self, identity: &str) {
        let client = identity.split('.').next().unwrap_or_default();
        match &self.client {
            Some(other) if other != client => {
                self.violations.push(format!("{client} speaks in a transaction of {other}"));
            }
            _ => self.client = Some(client.to_owned()),
        }
        if let Some(who) = self.value("app.who")
            && who != client
        {
            self.violations.push(format!("{client} finds the setting of {who}"));
        }
    }

    fn examine(&self, questions: &[Question]) -> Result {
        let mut rows = Vec::new();
        for question in questions {
            match question {
                Question::Setting(name) => {
                    let value = self.value(name).map(|value| hex(&value));
                    rows.push(vec![Some("s".into()), Some(name.clone()), value]);
                }
                Question::Settings => rows.extend(self.settings.iter().map(|(name, value)| {
                    vec![Some("s".into()), Some(name.clone()), Some(hex(value))]
                })),
                Question::Channels => {}
                Question::Holds(index, reason) => {
                    let is_ours = |name: &Vec<u8>| name.starts_with(b"tidegate_");
                    let holds = match reason {
                        Reason::AdvisoryLock => !self.locks.is_empty(),
                        Reason::Prepared => !self.statements.keys().all(is_ours),
                        Reason::Requested => {
                            self.value("tidegate.pin").is_some_and(|value| value == "on")
                        }
                        Reason::Never => false,
                    };
                    if holds {
                        rows.push(vec![Some("h".into()), Some(index.clone()), None]);
                    }
                }
            }
        }
        let tag = format!("SELECT {}", rows.len());
        Result::Rows { columns: vec!["?column?", "?column?", "?column?"], rows, tag }
    }
}

fn one(row: Vec<Option<String>>, columns: Vec<&'static str>) -> Result {
    Result::Rows { columns, rows: vec![row], tag: "SELECT 1".into() }
}

pub(crate) fn error(code: &'static str, message: &str) -> Result {
    Result::Error { code, message: message.to_owned() }
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The columns of a statement's rows; none where it has no rows.
pub(crate) fn columns(statement: &Statement) -> Option<Vec<&'static str>> {
    match statement {
        Statement::Show(..) => Some(vec!["?column?", "current_setting"]),
        Statement::Sleep(..) | Statement::Divide => Some(vec!["?column?"]),
        Statement::Series(..) => Some(vec!["?column?", "g"]),
        Statement::Lock(_) => Some(vec!["pg_advisory_lock"]),
        Statement::Unlock(_) => Some(vec!["pg_advisory_unlock"]),
        Statement::UnlockAll => Some(vec!["pg_advisory_unlock_all"]),
        Statement::Set { is_call: true, .. } | Statement::Restore(_) => Some(vec!["set_config"]),
        Statement::Examine(_) => Some(vec!["?column?", "?column?", "?column?"]),
        _ => None,
    }
}

/// Whether a statement has a parameter.
pub(crate) fn has_parameter(statement: &Statement) -> bool {
    match statement {
        Statement::Insert(value)
        | Statement::Series(value, _)
        | Statement::Show(value, _)
        | Statement::Sleep(value, _) => *value == Value::Parameter,
        _ => false,
    }
}
