//! A backend: one process of PostgreSQL, with the connection that it serves.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tidegate_wire::backend::{self, Message, Report, Severity, TransactionStatus};
use tidegate_wire::frontend::{self, Target};
use tidegate_wire::sqlstate::SqlState;

use crate::frames;
use crate::net::{Due, End, Net};
use crate::postgres::Role;
use crate::postgres::session::{self, Portal, Progress, Result, Session, Status};
use crate::postgres::sql::{CLOSE_ALL, Statement, statements};
use crate::random::Random;

/// What a backend is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It waits for the startup packet.
    Starting,
    /// It serves its client.
    Serving,
    /// It carries a cancel to another backend.
    Cancelling,
    /// It is on its way out.
    Ending,
}

pub(crate) struct Backend {
    pub(crate) postgres: usize,
    pub(crate) pid: u32,
    pub(crate) secret: [u8; 4],
    pub(crate) end: End,
    pub(crate) stage: Stage,
    /// It is one of the connections that there may be so many of.
    pub(crate) counts: bool,
    pub(crate) session: Session,
    pub(crate) input: Vec<u8>,
    output: Vec<u8>,
    /// Its client does not take what it says.
    is_blocked: bool,
    /// The number of the piece of work that it is at.
    pub(crate) work: u64,
    is_working: bool,
    /// What it works on is a statement, which can be cancelled.
    is_in_statement: bool,
    is_cancelled: bool,
    /// After an error everything up to Sync is skipped.
    is_skipping: bool,
    copy: Option<Copy>,
    has_peer_ended: bool,
    reported: Vec<(&'static str, String)>,
    random: Random,
}

struct Copy {
    is_extended: bool,
    lines: Vec<u8>,
}

/// Output beyond this is sent before a batch has ended.
const OUTPUT_BYTES: usize = 8192;

impl Backend {
    pub(crate) fn new(postgres: usize, pid: u32, end: End, mut random: Random) -> Self {
        Self {
            postgres,
            pid,
            secret: (random.any() as u32).to_be_bytes(),
            end,
            stage: Stage::Starting,
            counts: false,
            session: Session::new(BTreeMap::new(), Role::ALONE),
            input: Vec::new(),
            output: Vec::new(),
            is_blocked: false,
            work: 0,
            is_working: false,
            is_in_statement: false,
            is_cancelled: false,
            is_skipping: false,
            copy: None,
            has_peer_ended: false,
            reported: Vec::new(),
            random,
        }
    }

    /// It has logged in its client.
    pub(crate) fn welcome(&mut self, session: Session, net: &mut Net) {
        self.session = session;
        self.session.look();
        self.stage = Stage::Serving;
        self.counts = true;
        backend::push_auth_ok(&mut self.output);
        self.report();
        backend::push_backend_key_data(&mut self.output, self.pid, &self.secret);
        self.ready();
        self.flush(net);
    }

    /// What it is at, for whoever waits for it.
    pub(crate) fn standing(&self) -> String {
        let (status, input) = (self.session.status, self.input.len());
        let mut words = format!("{}: {:?}, {status:?}, {input} unread", self.pid, self.stage);
        let flags = [
            (self.is_working, "works"),
            (self.is_blocked, "is blocked"),
            (self.is_skipping, "skips"),
            (self.copy.is_some(), "copies"),
            (self.has_peer_ended, "has nobody to talk to"),
        ];
        for (_, flag) in flags.iter().filter(|(is_so, _)| *is_so) {
            words = format!("{words}, {flag}");
        }
        words
    }

    /// Something can be read, or written again.
    pub(crate) fn notice(&mut self, net: &mut Net) {
        if self.is_blocked {
            self.flush(net);
        }
        self.has_peer_ended |= net.read_all(self.end, &mut self.input);
        self.go_on(net);
    }

    /// It gets on with what it has been sent.
    pub(crate) fn go_on(&mut self, net: &mut Net) {
        // Who can't get rid of its answers does not look at what comes next.
        while !self.is_working && !self.is_blocked && self.stage == Stage::Serving {
            let Some((tag, _)) = frames::first(&self.input) else { break };
            let cost = self.cost(tag);
            if cost.is_zero() {
                self.message(net);
            } else {
                self.begin(cost, net);
            }
        }
        let is_idle = !self.is_working && self.stage == Stage::Serving;
        if is_idle && self.has_peer_ended {
            self.leave(net);
        }
    }

    fn begin(&mut self, cost: Duration, net: &mut Net) {
        self.work += 1;
        self.is_working = true;
        let (postgres, pid, work) = (self.postgres, self.pid, self.work);
        net.after(cost, Due::Backend { postgres, pid, work });
    }

    /// How long a message takes.
    fn cost(&mut self, tag: u8) -> Duration {
        self.is_in_statement = matches!(tag, b'Q' | b'E') && self.copy.is_none();
        let sleep = if self.is_in_statement { self.sleep() } else { Duration::ZERO };
        match tag {
            b'Q' | b'E' => sleep + self.random.time(Duration::from_millis(2)),
            _ if self.random.one_in(4) => self.random.time(Duration::from_micros(200)),
            _ => Duration::ZERO,
        }
    }

    /// How long the statement at the front of the input sleeps.
    fn sleep(&self) -> Duration {
        let Some((tag, body)) = frames::first(&self.input) else { return Duration::ZERO };
        let text = match frontend::Tag::from_byte(tag)
            .and_then(|tag| frontend::Message::decode(tag, body).ok())
        {
            Some(frontend::Message::Query(text)) => String::from_utf8_lossy(text).into_owned(),
            Some(frontend::Message::Execute { portal, .. }) => self
                .session
                .portals
                .get(portal)
                .filter(|portal| matches!(portal.progress, Progress::New))
                .map(|portal| portal.text.clone())
                .unwrap_or_default(),
            _ => String::new(),
        };
        let slept = statements(&text).into_iter().map(|statement| match statement {
            Statement::Sleep(_, millis) => Duration::from_millis(millis),
            _ => Duration::ZERO,
        });
        slept.sum()
    }

    /// A piece of work is done.
    pub(crate) fn worked(&mut self, work: u64, net: &mut Net) {
        if work != self.work || !self.is_working {
            return;
        }
        self.is_working = false;
        self.message(net);
        self.go_on(net);
    }

    /// Somebody cancels what it runs.
    pub(crate) fn cancel(&mut self, net: &mut Net) {
        if self.is_working && self.is_in_statement && self.stage == Stage::Serving {
            self.is_cancelled = true;
            let delay = self.random.time(Duration::from_micros(300));
            self.begin(delay, net);
        }
    }

    /// It ends, with these words to its client.
    pub(crate) fn die(&mut self, code: &str, message: &str, net: &mut Net) {
        if matches!(self.stage, Stage::Ending) {
            return;
        }
        push_error(&mut self.output, Severity::Fatal, code, message);
        self.flush(net);
        self.leave(net);
    }

    /// It is on its way out; [`Due::Backend`] says when it has gone.
    pub(crate) fn leave(&mut self, net: &mut Net) {
        if self.stage == Stage::Ending {
            return;
        }
        self.stage = Stage::Ending;
        let delay = self.random.time(Duration::from_millis(3));
        self.begin(delay, net);
    }

    fn flush(&mut self, net: &mut Net) {
        self.is_blocked = false;
        while !self.output.is_empty() {
            match net.write(self.end, &self.output) {
                Ok(taken) => drop(self.output.drain(..taken)),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.is_blocked = true;
                    return;
                }
                Err(_) => {
                    self.has_peer_ended = true;
                    self.output.clear();
                }
            }
        }
    }

    // --- Messages. ---

    /// Does what the message at the front of the input asks.
    fn message(&mut self, net: &mut Net) {
        let Some((tag, body)) = frames::take_first(&mut self.input) else { return };
        let decoded =
            frontend::Tag::from_byte(tag).map(|tag| frontend::Message::decode(tag, &body));
        let Some(Ok(message)) = decoded else {
            let body = String::from_utf8_lossy(&body);
            self.session.violations.push(format!("a message that is none: tag {tag}, {body:?}"));
            return self.die("08P01", "invalid frontend message type", net);
        };
        use frontend::Message as M;
        if self.copy.is_some() {
            self.copying(&message);
            return self.flush_if(&message, net);
        }
        let is_extended = !matches!(message, M::Query(_) | M::Sync | M::Terminate);
        if self.is_skipping && is_extended {
            return;
        }
        match message {
            M::Query(text) => self.query(&String::from_utf8_lossy(text), net),
            M::Sync => {
                let has_failed = std::mem::take(&mut self.is_skipping);
                self.session.end_implicitly(has_failed && self.session.status == Status::Idle);
                self.ready();
            }
            M::Terminate => return self.leave(net),
            M::Flush => {}
            M::Parse { name, text, .. } => self.parse(name, text),
            M::Bind { portal, statement, rest } => self.bind(portal, statement, rest),
            M::Describe { target, name } => self.describe(target, name),
            M::Execute { portal, rows_max } => self.execute(portal, rows_max),
            M::Close { target, name } => {
                match target {
                    Target::Statement => drop(self.session.statements.remove(name)),
                    Target::Portal => drop(self.session.portals.remove(name)),
                }
                self.push(&Message::CloseComplete);
            }
            M::CopyData(_) | M::CopyDone | M::CopyFail(_) => {} // Late; PostgreSQL ignores it.
            M::FunctionCall(_) | M::Password(_) => {
                self.session.violations.push("a message that nobody here sends".into());
            }
        }
        self.flush_if(&message, net);
    }

    fn flush_if(&mut self, message: &frontend::Message<'_>, net: &mut Net) {
        use frontend::Message as M;
        let must = matches!(message, M::Query(_) | M::Sync | M::Flush | M::CopyDone)
            || self.copy.is_some();
        if must || self.output.len() > OUTPUT_BYTES {
            self.flush(net);
        }
    }

    fn push(&mut self, message: &Message<'_>) {
        if message.encode(&mut self.output).is_err() {
            self.session.violations.push("the model can't encode its answer".into());
        }
    }

    fn query(&mut self, text: &str, net: &mut Net) {
        self.session.begin_implicitly();
        self.session.statements.remove(&[][..]);
        let mut has_failed = false;
        let cancelled = std::mem::take(&mut self.is_cancelled);
        let all = statements(text);
        self.session.is_among = all.len() > 1;
        for statement in all {
            if cancelled {
                has_failed = true;
                self.fail("57014", "canceling statement due to user request");
                break;
            }
            // It runs in that, if it gets so far.
            let is_planned = !matches!(statement, Statement::Empty | Statement::Divide);
            if is_planned && !self.session.is_refused(&statement) {
                self.session.portals.remove(&[][..]);
            }
            let result = self.session.run(&statement, &[]);
            if result == Result::CopyIn {
                self.copy = Some(Copy { is_extended: false, lines: Vec::new() });
                self.push(&Message::CopyInResponse(&[0, 0, 1, 0, 0]));
                return self.flush(net);
            }
            if let Result::Rows { columns, .. } = &result {
                self.push_columns(columns);
            }
            has_failed = matches!(result, Result::Error { .. });
            self.answer(result);
            if has_failed {
                break;
            }
        }
        self.session.end_implicitly(has_failed);
        self.ready();
    }

    fn parse(&mut self, name: &[u8], text: &[u8]) {
        self.session.begin_implicitly();
        let text = String::from_utf8_lossy(text).into_owned();
        let parsed = statements(&text);
        if name.is_empty() {
            self.session.statements.remove(name);
        }
        if parsed.len() > 1 {
            return self.fail("42601", "cannot insert multiple commands into a prepared statement");
        }
        if parsed.first().is_some_and(|statement| self.session.is_refused(statement)) {
            return self.fail_with(session::aborted());
        }
        if !name.is_empty() && self.session.statements.contains_key(name) {
            return self.fail("42P05", "prepared statement already exists");
        }
        self.session.statements.insert(name.to_vec(), text);
        self.push(&Message::ParseComplete);
    }

    fn bind(&mut self, portal: &[u8], statement: &[u8], rest: &[u8]) {
        self.session.begin_implicitly();
        let Some(text) = self.session.statements.get(statement).cloned() else {
            return self.fail("26000", "prepared statement does not exist");
        };
        let parameters = parameters(rest);
        let statement = statements(&text).into_iter().next().unwrap_or(Statement::Empty);
        if parameters.len() != usize::from(session::has_parameter(&statement)) {
            return self.fail("08P01", "bind message supplies another number of parameters");
        }
        let is_nothing = statement == Statement::Empty && self.session.status == Status::Failed;
        if is_nothing || self.session.is_refused(&statement) {
            return self.fail_with(session::aborted());
        }
        if !portal.is_empty() && self.session.portals.contains_key(portal) {
            return self.fail("42P03", "cursor already exists");
        }
        if statement == Statement::Divide {
            // What is constant, the planner reckons.
            self.fail("22012", "division by zero");
            return self.leave_portal(portal);
        }
        let new = Portal { text, parameters, progress: Progress::New };
        self.session.portals.insert(portal.to_vec(), new);
        self.push(&Message::BindComplete);
    }

    fn describe(&mut self, target: Target, name: &[u8]) {
        let text = match target {
            Target::Statement => self.session.statements.get(name).cloned(),
            Target::Portal => self.session.portals.get(name).map(|portal| portal.text.clone()),
        };
        let Some(text) = text else {
            let code = if target == Target::Statement { "26000" } else { "34000" };
            return self.fail(code, "there is nothing to describe");
        };
        let statement = statements(&text).into_iter().next().unwrap_or(Statement::Empty);
        if session::columns(&statement).is_some() && self.session.is_refused(&statement) {
            return self.fail_with(session::aborted());
        }
        if target == Target::Statement {
            let has = session::has_parameter(&statement);
            let description: &[u8] = if has { &[0, 1, 0, 0, 0, 25] } else { &[0, 0] };
            self.push(&Message::ParameterDescription(description));
        }
        match session::columns(&statement) {
            Some(columns) => self.push_columns(&columns),
            None => self.push(&Message::NoData),
        }
    }

    fn execute(&mut self, name: &[u8], rows_max: i32) {
        let is_cancelled = std::mem::take(&mut self.is_cancelled);
        let Some(portal) = self.session.portals.get(name).cloned() else {
            return self.fail("34000", "portal does not exist");
        };
        let all = statements(&portal.text);
        let statement = all.into_iter().next().unwrap_or(Statement::Empty);
        if is_cancelled {
            return self.fail("57014", "canceling statement due to user request");
        }
        let result = match portal.progress {
            _ if self.session.is_refused(&statement) => session::aborted(),
            Progress::New => self.session.run(&statement, &portal.parameters),
            Progress::Open(ref rest) => Result::Rows {
                columns: Vec::new(),
                rows: rest.clone().into(),
                tag: String::new(), // It is told how many come now.
            },
            Progress::Done => session::error("55000", "portal cannot be run"),
        };
        if result == Result::CopyIn {
            self.copy = Some(Copy { is_extended: true, lines: Vec::new() });
            return self.push(&Message::CopyInResponse(&[0, 0, 1, 0, 0]));
        }
        let has_failed = matches!(result, Result::Error { .. });
        match result {
            Result::Rows { rows, .. } => self.answer_some(name, rows.into(), rows_max),
            result => {
                if statement == Statement::Nothing(CLOSE_ALL) {
                    // All but the one in which it is said.
                    self.session.portals.insert(name.to_vec(), portal);
                }
                if let (Result::Tag(_), Some(portal)) =
                    (&result, self.session.portals.get_mut(name))
                {
                    portal.progress = Progress::Done;
                }
                self.answer(result);
            }
        }
        // These end, or begin, what the others are in.
        self.session.is_among = !matches!(
            statement,
            Statement::Begin
                | Statement::Commit
                | Statement::Rollback
                | Statement::ResetAll("DISCARD ALL")
        ) && (self.session.is_among || statement != Statement::Empty);
        if has_failed {
            self.skip();
        }
    }

    /// As many rows as are wanted; the portal keeps the others.
    fn answer_some(&mut self, name: &[u8], mut rows: VecDeque<Vec<Option<String>>>, rows_max: i32) {
        let wanted = usize::try_from(rows_max).ok().filter(|wanted| *wanted > 0);
        let rest = rows.split_off(rows.len().min(wanted.unwrap_or(usize::MAX)));
        let count = rows.len();
        rows.into_iter().for_each(|row| self.push_row(row));
        if let Some(portal) = self.session.portals.get_mut(name) {
            portal.progress = Progress::Open(rest);
        }
        // Whether there are more is not looked at.
        if wanted == Some(count) {
            self.push(&Message::PortalSuspended);
        } else {
            self.push(&Message::CommandComplete(format!("SELECT {count}").as_bytes()));
        }
    }

    fn copying(&mut self, message: &frontend::Message<'_>) {
        use frontend::Message as M;
        let Some(copy) = &mut self.copy else { return };
        match message {
            M::CopyData(data) => copy.lines.extend_from_slice(data),
            M::Flush | M::Sync => {}
            _ => {
                // Whatever it is, it is used up.
                let Some(copy) = self.copy.take() else { return };
                let lines = String::from_utf8_lossy(&copy.lines).into_owned();
                let has_failed = !matches!(message, M::CopyDone);
                if has_failed {
                    let code = if matches!(message, M::CopyFail(_)) { "57014" } else { "08P01" };
                    self.fail(code, "COPY from stdin failed");
                } else {
                    for line in lines.lines() {
                        self.session.seen(line);
                        self.session.write(line);
                    }
                    self.answer(Result::Tag(format!("COPY {}", lines.lines().count())));
                }
                if !copy.is_extended {
                    self.is_skipping = false;
                    self.session.end_implicitly(has_failed);
                    self.ready();
                }
            }
        }
    }

    // --- Answers. ---

    fn answer(&mut self, result: Result) {
        match result {
            Result::Rows { rows, tag, .. } => {
                rows.into_iter().for_each(|row| self.push_row(row));
                self.push(&Message::CommandComplete(tag.as_bytes()));
            }
            Result::Tag(tag) => self.push(&Message::CommandComplete(tag.as_bytes())),
            Result::Empty => self.push(&Message::EmptyQueryResponse),
            Result::CopyIn => {}
            Result::Error { code, message } => {
                push_error(&mut self.output, Severity::Error, code, &message);
            }
        }
    }

    fn push_row(&mut self, row: Vec<Option<String>>) {
        let mut body = (row.len() as u16).to_be_bytes().to_vec();
        for value in row {
            match value {
                None => body.extend((-1_i32).to_be_bytes()),
                Some(value) => {
                    body.extend((value.len() as i32).to_be_bytes());
                    body.extend(value.as_bytes());
                }
            }
        }
        self.push(&Message::DataRow(&body));
    }

    fn push_columns(&mut self, columns: &[&'static str]) {
        let mut body = (columns.len() as u16).to_be_bytes().to_vec();
        for column in columns {
            body.extend(column.as_bytes());
            body.push(0);
            // No table; text, of any length, as text.
            body.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);
        }
        self.push(&Message::RowDescription(&body));
    }

    fn fail(&mut self, code: &str, message: &str) {
        push_error(&mut self.output, Severity::Error, code, message);
        self.skip();
    }

    /// A portal whose statement could not be planned stays until its transaction has ended, with none.
    fn leave_portal(&mut self, name: &[u8]) {
        if self.session.status == Status::Failed {
            let (text, parameters) = (String::new(), Vec::new());
            let portal = Portal { text, parameters, progress: Progress::New };
            self.session.portals.insert(name.to_vec(), portal);
        }
    }

    fn fail_with(&mut self, error: Result) {
        self.answer(error);
        self.skip();
    }

    fn skip(&mut self) {
        self.is_skipping = true;
        if self.session.status == Status::Block {
            self.session.fail();
        }
    }

    fn report(&mut self) {
        let now = self.session.reported();
        for report in &now {
            if !self.reported.contains(report) {
                let (name, value) = (report.0.as_bytes(), report.1.as_bytes());
                backend::push_parameter_status(&mut self.output, name, value);
            }
        }
        self.reported = now;
    }

    fn ready(&mut self) {
        self.session.is_among = false;
        self.is_skipping = false;
        self.is_cancelled = false;
        self.report();
        let status = match self.session.status {
            Status::Idle => TransactionStatus::Idle,
            Status::Block => TransactionStatus::InTransaction,
            Status::Failed => TransactionStatus::Failed,
        };
        backend::push_ready(&mut self.output, status);
    }
}

pub(crate) fn push_error(out: &mut Vec<u8>, severity: Severity, code: &str, message: &str) {
    let sqlstate = SqlState::from_bytes(code.as_bytes()).unwrap_or(SqlState::QUERY_CANCELED);
    Report { severity, sqlstate, message, detail: None, hint: None }.encode_error(out);
}

/// The values of a Bind.
fn parameters(rest: &[u8]) -> Vec<String> {
    let number = |at: usize| {
        rest.get(at..at + 2).map_or(0, |two| usize::from(u16::from_be_bytes([two[0], two[1]])))
    };
    let mut at = 2 + 2 * number(0);
    let count = number(at);
    at += 2;
    let mut values = Vec::new();
    for _ in 0..count {
        let length = rest.get(at..at + 4).map_or(0, |four| {
            usize::try_from(i32::from_be_bytes([four[0], four[1], four[2], four[3]])).unwrap_or(0)
        });
        at += 4;
        let value = rest.get(at..at + length).unwrap_or_default();
        values.push(String::from_utf8_lossy(value).into_owned());
        at += length;
    }
    values
}
