//! A session: its settings, its transaction, its statements.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use crate::postgres::Role;
use crate::postgres::sql::{CLOSE_ALL, Question, Reason, Statement, Value};

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

/// A statement with its parameters, and how far it has come.
#[derive(Debug, Clone)]
pub(crate) struct Portal {
    pub(crate) text: String,
    pub(crate) parameters: Vec<String>,
    pub(crate) progress: Progress,
}

/// How far a portal has come.
#[derive(Debug, Clone)]
pub(crate) enum Progress {
    /// It was not executed.
    New,
    /// These rows are to come.
    Open(VecDeque<Vec<Option<String>>>),
    /// What it does can't be done twice.
    Done,
}

#[derive(Debug)]
pub(crate) struct Session {
    settings: Settings,
    local: Settings,
    /// The settings when the transaction began.
    before: Option<Settings>,
    /// What its server is.
    pub(crate) role: Role,
    /// Whoever has logged in was told that nothing can be written here.
    is_misfit: bool,
    /// What runs is one of several statements of a query or a batch.
    pub(crate) is_among: bool,
    /// This transaction only reads, whatever the server is meanwhile.
    only_reads: bool,
    /// Transactions that have begun, by the clients whose they are: whether they are pinned.
    pub(crate) begun: Vec<(String, bool)>,
    pub(crate) status: Status,
    /// What this transaction has written.
    written: Vec<String>,
    /// What has been committed and not been entered yet.
    pub(crate) committed: Vec<String>,
    /// The client whose transaction it is, as its statements tell.
    client: Option<String>,
    pub(crate) statements: BTreeMap<Vec<u8>, String>,
    pub(crate) portals: BTreeMap<Vec<u8>, Portal>,
    /// Each as often as it was taken.
    locks: BTreeMap<String, usize>,
    /// What must not be.
    pub(crate) violations: Vec<String>,
}

/// What PostgreSQL reports when it changes.
const REPORTED: [(&str, &str); 11] = [
    ("application_name", ""),
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, MDY"),
    ("integer_datetimes", "on"),
    ("IntervalStyle", "postgres"),
    ("is_superuser", "off"),
    ("server_encoding", "UTF8"),
    ("server_version", "15.14"),
    ("session_authorization", "app"),
    ("standard_conforming_strings", "on"),
    ("TimeZone", "UTC"),
];

impl Session {
    pub(crate) fn new(settings: Settings, role: Role) -> Self {
        Self {
            settings,
            local: Settings::new(),
            before: None,
            role,
            is_misfit: false,
            is_among: false,
            only_reads: false,
            begun: Vec::new(),
            status: Status::Idle,
            written: Vec::new(),
            committed: Vec::new(),
            client: None,
            statements: BTreeMap::new(),
            portals: BTreeMap::new(),
            locks: BTreeMap::new(),
            violations: Vec::new(),
        }
    }

    /// What is reported now.
    pub(crate) fn reported(&self) -> Vec<(&'static str, String)> {
        let value = |(name, default): &(&'static str, &str)| {
            (*name, self.value(&name.to_lowercase()).unwrap_or((*default).to_owned()))
        };
        let on = |is_so| if is_so { "on" } else { "off" }.to_owned();
        let Role { is_standby, is_read_only, is_reported, .. } = self.role;
        let role = [
            ("in_hot_standby", on(is_standby)),
            ("default_transaction_read_only", on(is_read_only)),
        ];
        let role = role.into_iter().filter(|_| is_reported);
        REPORTED.iter().map(value).chain(role).collect()
    }

    /// Whoever is at it learns now what its server is.
    pub(crate) fn look(&mut self) {
        let Role { is_standby, is_read_only, must_write, .. } = self.role;
        self.is_misfit = must_write && (is_standby || is_read_only);
    }

    fn value(&self, name: &str) -> Option<String> {
        self.local.get(name).or_else(|| self.settings.get(name)).cloned()
    }

    /// A message of the extended protocol, or a query, begins: from here on what it changes can be
    /// taken back.
    pub(crate) fn begin_implicitly(&mut self) {
        if self.before.is_none() {
            self.before = Some(self.settings.clone());
            self.only_reads = self.role.is_standby || self.role.is_read_only;
        }
    }

    /// A query or a batch has ended: without a block, so has its transaction.
    pub(crate) fn end_implicitly(&mut self, has_failed: bool) {
        match self.status {
            Status::Idle if has_failed => self.roll_back(),
            Status::Idle => self.commit(),
            Status::Block if has_failed => self.fail(),
            Status::Block | Status::Failed => {}
        }
    }

    /// What its transaction has done is undone at once; that it has ended its client must say.
    pub(crate) fn fail(&mut self) {
        self.status = Status::Failed;
        self.written.clear();
        self.local.clear();
        if let Some(before) = &self.before {
            self.settings = before.clone();
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

    /// Whether a transaction that has failed takes no such statement.
    pub(crate) fn is_refused(&self, statement: &Statement) -> bool {
        let may_come =
            matches!(statement, Statement::Commit | Statement::Rollback | Statement::Empty);
        self.status == Status::Failed && !may_come
    }

    /// Runs a statement. An error leaves it to the caller to fail the transaction.
    pub(crate) fn run(&mut self, statement: &Statement, parameters: &[String]) -> Result {
        if self.is_refused(statement) {
            return aborted();
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
            Statement::CopyIn if self.only_reads => only_reads("COPY FROM"),
            Statement::CopyIn => Result::CopyIn,
            Statement::Divide => error("22012", "division by zero"),
            Statement::Nothing(words) => {
                if *words == CLOSE_ALL {
                    self.portals.clear();
                }
                tag(words)
            }
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
            Statement::ResetAll("DISCARD ALL") if self.status == Status::Block || self.is_among => {
                error("25001", "DISCARD ALL cannot run inside a transaction block")
            }
            Statement::ResetAll(words) => {
                self.statements.retain(|name, _| name.is_empty());
                if *words == "DISCARD ALL" {
                    self.settings.clear();
                    self.locks.clear();
                    self.commit();
                    self.begin_implicitly();
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
                *self.locks.entry(key.clone()).or_default() += 1;
                one(vec![Some(String::new())], vec!["pg_advisory_lock"])
            }
            Statement::Unlock(key) => {
                let count = self.locks.remove(key).unwrap_or(0);
                let held = count > 0;
                if count > 1 {
                    self.locks.insert(key.clone(), count - 1);
                }
                one(vec![Some(if held { "t" } else { "f" }.into())], vec!["pg_advisory_unlock"])
            }
            Statement::UnlockAll => {
                self.locks.clear();
                one(vec![Some(String::new())], vec!["pg_advisory_unlock_all"])
            }
            Statement::Insert(_) if self.only_reads => only_reads("INSERT"),
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
            Statement::AskRole => {
                self.look();
                let Role { is_standby, is_read_only, .. } = self.role;
                let word =
                    |is_so, yes: &str, no: &str| Some(if is_so { yes } else { no }.to_owned());
                let pid = Some("0".to_owned()); // What it is for is not asked here.
                let row = vec![pid, word(is_standby, "t", "f"), word(is_read_only, "on", "off")];
                one(row, columns(statement).unwrap_or_default())
            }
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
            Some(_) => {}
            None => {
                let is_ours = |name: &Vec<u8>| name.is_empty() || name.starts_with(b"tidegate_");
                let is_pinned = !self.locks.is_empty() || !self.statements.keys().all(is_ours);
                self.begun.push((client.to_owned(), is_pinned));
                self.client = Some(client.to_owned());
            }
        }
        if self.is_misfit {
            self.violations.push(format!("{client} must be able to write, and is where it can't"));
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

pub(crate) fn aborted() -> Result {
    let message = "current transaction is aborted, commands ignored until end of transaction block";
    error("25P02", message)
}

fn only_reads(what: &str) -> Result {
    error("25006", &format!("cannot execute {what} in a read-only transaction"))
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
        Statement::Show(Value::Parameter, _) => Some(vec!["text", "current_setting"]),
        Statement::Show(..) => Some(vec!["?column?", "current_setting"]),
        Statement::Sleep(Value::Parameter, _) => Some(vec!["text"]),
        Statement::Sleep(..) | Statement::Divide => Some(vec!["?column?"]),
        Statement::Series(..) => Some(vec!["?column?", "g"]),
        Statement::Lock(_) => Some(vec!["pg_advisory_lock"]),
        Statement::Unlock(_) => Some(vec!["pg_advisory_unlock"]),
        Statement::UnlockAll => Some(vec!["pg_advisory_unlock_all"]),
        Statement::Set { is_call: true, .. } | Statement::Restore(_) => Some(vec!["set_config"]),
        Statement::AskRole => Some(vec!["pg_backend_pid", "pg_is_in_recovery", "current_setting"]),
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
