//! Applications: each has an identity that shows in all that it says, knows what must be answered,
//! and keeps book of what was committed.

pub(crate) mod work;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tidegate_config::ClientTimeouts;
use tidegate_pool_core::server::Port;
use tidegate_wire::backend::{self, Authentication, Fields, Message};
use tidegate_wire::frontend;
use tidegate_wire::startup::{self, ProtocolVersion};
use tidegate_wire::tick::Tick;

use crate::application::work::{Ends, Maker, Mischief, Step, Want, Who, Work};
use crate::frames;
use crate::net::{Due, End, Net, Notice, Owner, gate_address};
use crate::random::Random;
use crate::scenario::Focus;

/// What an application was told of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It is in the ledger.
    Committed,
    /// It may be.
    Doubt,
    /// It is not.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It has no connection, and will make one.
    Away,
    Connecting,
    LoggingIn,
    /// It thinks of what to do next.
    Ready,
    /// It has sent something, or is about to.
    Working,
    Done,
}

/// What it expects of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mood {
    /// Nothing goes wrong: no error is in order but those that it asks for.
    pub is_quiet: bool,
    /// The gates are shut down meanwhile: it may be left without one.
    pub may_be_left: bool,
    /// What it does more often than otherwise.
    pub focus: Focus,
    /// The database that it uses.
    pub database: &'static str,
    /// How long it may take for what it does.
    pub limits: ClientTimeouts,
    /// How long a statement may go on that was cancelled for having taken too long.
    pub cancel_max: Duration,
    /// What takes too long is ended in time; otherwise nobody knows when.
    pub is_punctual: bool,
    /// From the client to its server and back, twice.
    pub round_trips: Duration,
}

impl Mood {
    /// A statement is cancelled before it has taken so long, or its connection is closed: the cancel
    /// may be quicker than the statement, and hit nothing.
    fn too_long(&self) -> Option<Duration> {
        Some(self.limits.query? + self.cancel_max + Duration::from_secs(3))
    }

    /// After this time at the latest whoever has taken too long is told.
    fn slack(&self) -> Duration {
        self.round_trips + Duration::from_secs(1)
    }
}

/// An application: one connection at a time.
pub struct Application {
    number: usize,
    /// Its place in what it says.
    pub name: String,
    gates: usize,
    /// Where it goes to.
    pub port: Port,
    random: Random,
    maker: Maker,
    mood: Mood,
    stage: Stage,
    end: Option<End>,
    input: Vec<u8>,
    output: Vec<u8>,
    key: (u32, Vec<u8>),
    has_who: bool,
    had_who: bool,
    is_in_transaction: bool,
    /// Lines of the transaction that is open.
    open_lines: Vec<String>,
    /// What is still to be sent.
    to_send: VecDeque<Step>,
    /// What was sent and not answered.
    awaited: VecDeque<Step>,
    heard: Heard,
    mischief: Mischief,
    /// When it is up to that.
    mischief_due: Tick,
    /// The connection that carries its cancel.
    cancel: Option<End>,
    /// A cancel of its own may still hit it.
    may_be_cancelled: bool,
    /// Its cancel's connection was broken, so that nobody knows when it comes.
    has_loose_cancel: bool,
    refusals: usize,
    /// When it has sent something last, and when before that: what it is told may have been said
    /// before its last words came.
    spoke_at: Tick,
    spoke_before: Tick,
    /// When it has been answered last.
    heard_at: Tick,
    /// When it has sent the first of what may be a transaction.
    busy_since: Tick,
    /// It was told last that no transaction is open.
    is_at_rest: bool,
    /// From when on PostgreSQL has had a transaction of its, which is open.
    open_since: Option<Tick>,
    /// It was told that it has taken too long, and that its connection ends.
    is_timed_out: bool,
    /// Something of the work under way was cancelled for having taken too long. What stands behind in
    /// the same pipeline may be hit by that cancel, and is told so, mostly.
    was_overdue: bool,
    work_left: usize,
    /// What it was told of each of its lines.
    pub lines: BTreeMap<String, Told>,
    /// What must not be.
    pub violations: Vec<String>,
    history: VecDeque<String>,
}

/// What has been heard of an answer.
#[derive(Debug, Default)]
struct Heard {
    rows: Vec<Vec<Option<String>>>,
    /// Its code and message.
    error: Option<(String, String)>,
    /// And its DETAIL.
    detail: String,
    tag: String,
    /// What it was to prepare has been.
    is_parsed: bool,
}

/// Enough to see where it went wrong.
const REMEMBERED: usize = 60;

impl Application {
    /// One that has not begun.
    pub fn new(
        number: usize,
        gates: usize,
        port: Port,
        mut random: Random,
        work_left: usize,
        mood: Mood,
    ) -> Self {
        let starts_with_who = random.one_in(3);
        let may_vanish = !mood.is_quiet || random.one_in(2);
        let maker = Maker::new(number, mood.focus, may_vanish, starts_with_who, mood.too_long());
        Self {
            number,
            name: maker.name.clone(),
            gates,
            port,
            maker,
            mood,
            stage: Stage::Away,
            end: None,
            input: Vec::new(),
            output: Vec::new(),
            key: (0, Vec::new()),
            has_who: false,
            had_who: false,
            is_in_transaction: false,
            open_lines: Vec::new(),
            to_send: VecDeque::new(),
            awaited: VecDeque::new(),
            heard: Heard::default(),
            mischief: Mischief::None,
            mischief_due: Tick::NEVER,
            cancel: None,
            may_be_cancelled: false,
            has_loose_cancel: false,
            refusals: 0,
            spoke_at: Tick::ZERO,
            spoke_before: Tick::ZERO,
            heard_at: Tick::ZERO,
            busy_since: Tick::ZERO,
            is_at_rest: true,
            open_since: None,
            is_timed_out: false,
            was_overdue: false,
            work_left,
            lines: BTreeMap::new(),
            violations: Vec::new(),
            history: VecDeque::new(),
            random,
        }
    }

    /// Whether it has done all that it wanted to.
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// What it is at, for whoever waits for it.
    pub fn standing(&self) -> String {
        format!("{} ({:?}): {:?}, awaits {}", self.name, self.port, self.stage, self.awaited.len())
    }

    /// The last things that it said and heard.
    pub fn remembered(&self) -> String {
        self.history.iter().map(|line| format!("    {line}\n")).collect()
    }

    fn note(&mut self, line: String) {
        if self.history.len() == REMEMBERED {
            self.history.pop_front();
        }
        self.history.push_back(line);
    }

    fn violation(&mut self, words: String) {
        let at = self.awaited.front().map(|step| step.words.clone()).unwrap_or_default();
        self.violations.push(format!("{} at [{at}]: {words}", self.name));
    }

    // --- What happens to it. ---

    /// Its time has come.
    pub fn go_on(&mut self, net: &mut Net) {
        self.is_not_overdue(net.now());
        match self.stage {
            Stage::Away => self.connect(net),
            Stage::Ready => self.begin(net),
            Stage::Working => self.send_next(net),
            Stage::Connecting | Stage::LoggingIn | Stage::Done => {}
        }
        if self.stage != Stage::Working || net.now() < self.mischief_due {
            return;
        }
        if let Mischief::Cancel(_) = self.mischief
            && self.cancel.is_none()
        {
            self.mischief = Mischief::None;
            self.may_be_cancelled = true;
            let to = gate_address(self.number % self.gates, self.port);
            self.cancel = Some(net.connect(Owner::Application(self.number), to));
            self.note("cancels".into());
        }
        if let Mischief::Leave(_) = self.mischief {
            self.vanish(net);
        }
    }

    /// Something has happened to one of its connections.
    pub fn notice(&mut self, end: End, notice: Notice, net: &mut Net) {
        if self.cancel == Some(end) {
            return self.cancel_notice(end, notice, net);
        }
        if self.end != Some(end) {
            return;
        }
        match notice {
            Notice::Connected => {
                self.stage = Stage::LoggingIn;
                let mut parameters = vec![("user", "app"), ("database", self.mood.database)];
                let options = format!("-c app.who={}", self.name);
                if self.maker.starts_with_who {
                    parameters.push(("options", &options));
                }
                let pairs = parameters.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes()));
                startup::push_startup(&mut self.output, ProtocolVersion::V3_0, pairs)
                    .expect("no zero bytes");
                self.flush(net);
            }
            Notice::Refused => self.lost(net),
            Notice::Writable => self.flush(net),
            Notice::Readable => {
                let has_ended = net.read_all(end, &mut self.input);
                self.listen(net);
                if has_ended && self.end == Some(end) {
                    self.lost(net);
                }
            }
        }
    }

    fn cancel_notice(&mut self, end: End, notice: Notice, net: &mut Net) {
        match notice {
            Notice::Connected => {
                let mut packet = Vec::new();
                startup::push_cancel_request(&mut packet, self.key.0, &self.key.1);
                if net.write(end, &packet).is_err() {
                    self.has_loose_cancel = true;
                }
            }
            Notice::Refused | Notice::Readable => {
                let mut rest = Vec::new();
                let has_ended = net.read_all(end, &mut rest);
                let is_clean = matches!(net.read(end, &mut [0]), Ok(0));
                if has_ended {
                    self.has_loose_cancel |= !is_clean;
                    net.close(end);
                    self.cancel = None;
                    self.note("its cancel has ended".into());
                    if self.awaited.is_empty() && self.stage == Stage::Ready {
                        self.think(net);
                    }
                }
            }
            Notice::Writable => {}
        }
    }

    // --- Connections. ---

    fn connect(&mut self, net: &mut Net) {
        let to = gate_address(self.number % self.gates, self.port);
        self.end = Some(net.connect(Owner::Application(self.number), to));
        self.stage = Stage::Connecting;
        self.note("connects".into());
    }

    /// The connection is no more. What was under way is in doubt.
    fn lost(&mut self, net: &mut Net) {
        let was_refused = matches!(self.stage, Stage::Connecting | Stage::LoggingIn);
        self.note(format!("< the end, {:?}", self.heard.error));
        if let Some(end) = self.end.take() {
            net.close(end);
        }
        // What it was told is lost where it has spoken meanwhile: the answer to that is a reset.
        let is_timed_out =
            self.is_timed_out || self.heard.error.is_none() && self.may_be_timed_out(net.now());
        if self.mood.is_quiet && !is_timed_out {
            let error = self.heard.error.clone();
            self.violation(format!("lost its connection: {error:?}"));
        }
        self.give_up_lines();
        self.refusals = if was_refused { self.refusals + 1 } else { 0 };
        if self.mood.may_be_left && self.refusals > 3 {
            self.stage = Stage::Done;
            return;
        }
        self.away(net);
    }

    fn away(&mut self, net: &mut Net) {
        self.stage = Stage::Away;
        let most =
            if self.refusals > 0 { Duration::from_secs(2) } else { Duration::from_millis(50) };
        let delay = self.random.time(most);
        net.after(delay, Due::Application(self.number));
    }

    /// What was sent and not answered may have happened; the rest has not.
    fn give_up_lines(&mut self) {
        let is_committing = self.awaited.iter().any(|step| step.ends == Ends::Commits);
        let is_known = self.judge_loss(is_committing);
        let doubt = if is_known { Told::Failed } else { Told::Doubt };
        let fate = if is_committing { doubt } else { Told::Failed };
        for line in std::mem::take(&mut self.open_lines) {
            self.lines.insert(line, fate);
        }
        for step in std::mem::take(&mut self.awaited) {
            let is_alone = step.ends == Ends::Alone;
            for line in step.lines {
                self.lines.insert(line, if is_alone { doubt } else { fate });
            }
        }
        self.to_send.clear();
        self.input.clear();
        self.output.clear();
        self.heard = Heard::default();
        self.mischief = Mischief::None;
        self.is_in_transaction = false;
        self.open_since = None;
        self.is_timed_out = false;
        self.may_be_cancelled = false;
        self.maker.forget();
    }

    /// Whether the last words of its connection say that nothing of what it awaits was sent. They
    /// must call a commit in doubt what is one, and nothing else.
    fn judge_loss(&mut self, is_committing: bool) -> bool {
        let Some((code, message)) = self.heard.error.clone() else { return false };
        // Told that it is done, there is nothing in doubt, though the answer is cut behind that.
        let commits_next = self.awaited.front().is_some_and(|step| step.ends == Ends::Commits)
            && self.heard.tag != "COMMIT";
        let is_unsent = ["The statement was not sent.", "Whatever had been sent was answered"]
            .iter()
            .any(|words| self.heard.detail.starts_with(words));
        match code.as_str() {
            "08007" if !is_committing => {
                self.violation("is told of a commit in doubt that it has not sent".into());
            }
            // What was cut on the session port nobody has looked at as a whole.
            "08006" if commits_next && !is_unsent && self.port == Port::Transaction => {
                self.violation(format!("is not told that its commit is in doubt, but {message}"));
            }
            _ => {}
        }
        code == "08006" && is_unsent
    }

    // --- Work. ---

    fn think(&mut self, net: &mut Net) {
        self.stage = Stage::Ready;
        let most = if self.random.one_in(30) { 5000 } else { 20 };
        let delay = self.random.time(Duration::from_millis(most));
        net.after(delay, Due::Application(self.number));
    }

    fn begin(&mut self, net: &mut Net) {
        if self.cancel.is_some() {
            return; // It waits until it is known that its cancel hits nothing else.
        }
        self.may_be_cancelled = false;
        self.was_overdue = false;
        if self.work_left == 0 {
            self.stage = Stage::Done;
            frontend::push_terminate(&mut self.output);
            self.flush(net);
            if let Some(end) = self.end.take() {
                net.close(end);
            }
            return;
        }
        self.work_left -= 1;
        let Work { steps, mischief } = self.maker.work(&mut self.random);
        self.to_send = steps.into();
        self.mischief = mischief;
        self.stage = Stage::Working;
        if let Mischief::Cancel(delay) | Mischief::Leave(delay) = mischief {
            self.mischief_due = net.now() + delay;
            net.after(delay, Due::Application(self.number));
        }
        self.send_next(net);
    }

    fn speaks(&mut self, now: Tick) {
        self.spoke_before = std::mem::replace(&mut self.spoke_at, now);
    }

    /// Sends the next step, and those that go with it.
    fn send_next(&mut self, net: &mut Net) {
        if !self.awaited.is_empty() {
            return;
        }
        let mut is_first = true;
        self.speaks(net.now());
        if self.is_at_rest {
            self.busy_since = net.now();
        }
        while let Some(step) = self.to_send.pop_front_if(|step| is_first || step.pause.is_none()) {
            self.note(format!("{} {}", if is_first { ">" } else { "+" }, step.words));
            is_first = false;
            if let Mischief::Vanish(bytes) = self.mischief {
                if bytes <= step.bytes.len() {
                    self.output.extend_from_slice(&step.bytes[..bytes]);
                    self.awaited.push_back(step);
                    self.flush(net);
                    return self.vanish(net);
                }
                self.mischief = Mischief::Vanish(bytes - step.bytes.len());
            }
            self.output.extend_from_slice(&step.bytes);
            self.awaited.push_back(step);
        }
        self.flush(net);
    }

    fn vanish(&mut self, net: &mut Net) {
        self.note("vanishes".into());
        if let Some(end) = self.end.take() {
            net.close(end);
        }
        self.give_up_lines();
        self.refusals = 0;
        self.away(net);
    }

    fn flush(&mut self, net: &mut Net) {
        let Some(end) = self.end else { return };
        while !self.output.is_empty() {
            match net.write(end, &self.output) {
                Ok(taken) => drop(self.output.drain(..taken)),
                // Reading tells what is the matter.
                Err(_) => return,
            }
        }
    }

    // --- Answers. ---

    fn listen(&mut self, net: &mut Net) {
        while let Some((tag, body)) = frames::take_first(&mut self.input) {
            self.hear(tag, &body, net);
            if self.end.is_none() {
                return;
            }
        }
    }

    fn hear(&mut self, tag: u8, body: &[u8], net: &mut Net) {
        let decoded = backend::Tag::from_byte(tag).map(|tag| Message::decode(tag, body));
        let Some(Ok(message)) = decoded else {
            return self.violation(format!(
                "heard what is no message: tag {tag}, {:?}",
                String::from_utf8_lossy(body)
            ));
        };
        let is_unasked = self.stage != Stage::LoggingIn && self.awaited.is_empty();
        match message {
            Message::Authentication(Authentication::Ok) => {}
            Message::Authentication(_) => self.violation("is asked for a password".into()),
            Message::BackendKeyData { pid, secret } => self.key = (pid, secret.to_vec()),
            Message::ParameterStatus { .. } | Message::NoticeResponse(_) => {}
            Message::ErrorResponse(fields) => self.hear_error(&fields, net.now()),
            _ if is_unasked => self.violation(format!("hears {message:?} without having asked")),
            Message::ParseComplete => self.heard.is_parsed = true,
            Message::DataRow(row) => self.hear_row(row),
            Message::CommandComplete(tag) => {
                self.heard.tag = String::from_utf8_lossy(tag).into_owned();
            }
            Message::CopyInResponse(_) => {
                self.speaks(net.now());
                let pieces = self.awaited.front_mut().map(|step| std::mem::take(&mut step.copy));
                for piece in pieces.unwrap_or_default() {
                    self.output.extend_from_slice(&piece);
                }
                self.flush(net);
            }
            Message::ReadyForQuery(status) => self.ready(status.byte(), net),
            _ => {}
        }
    }

    fn hear_row(&mut self, row: &[u8]) {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        match backend::values(row) {
            Ok(values) => {
                self.heard.rows.push(values.into_iter().map(|value| value.map(text)).collect());
            }
            Err(error) => self.violation(format!("hears a row that is none: {error}")),
        }
    }

    fn hear_error(&mut self, fields: &Fields<'_>, now: Tick) {
        let text =
            |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        let code = fields.sqlstate().map(|code| code.as_str().to_owned()).unwrap_or_default();
        let message = text(fields.message());
        self.note(format!("< {code} {message} ({})", text(fields.hint())));
        self.was_overdue |= is_of_timeout(&message);
        let is_cancelled = code == "57014" && !self.was_overdue;
        self.hear_timeout(&code, &message, now);
        if is_cancelled && !self.may_be_cancelled && !self.has_loose_cancel {
            self.violation("was cancelled by another".into());
        }
        if self.heard.error.is_none() {
            self.heard.error = Some((code, message));
            self.heard.detail = text(fields.value(b'D'));
        }
    }

    /// If this says that it has taken too long, it has.
    fn hear_timeout(&mut self, code: &str, message: &str, now: Tick) {
        let ClientTimeouts { idle_in_transaction, transaction, query, client_idle } =
            self.mood.limits;
        let has_ended = !message.starts_with("canceling");
        let (since, limit) = match code {
            "57014" if !is_of_timeout(message) => return,
            "57014" if has_ended => {
                (self.spoke_at, query.map(|limit| limit + self.mood.cancel_max))
            }
            "57014" => (self.spoke_at, query),
            "25P03" => (self.spoke_before, idle_in_transaction),
            "25P04" => (self.busy_since, transaction),
            // Nothing goes wrong, but that it has taken too long.
            "08007" if self.mood.is_quiet => (self.busy_since, transaction),
            "57P05" => (self.spoke_before, client_idle),
            _ => return,
        };
        self.is_timed_out |= has_ended;
        if code == "57014"
            && has_ended
            && self.mood.is_punctual
            && query.is_some_and(|limit| limit > self.mood.round_trips)
        {
            self.violation("was not cancelled before it was closed".into());
        }
        match limit {
            None => self.violation(format!("is told {code}, and may take as long as it likes")),
            Some(limit) if now.since(since) < limit => {
                let took = now.since(since);
                self.violation(format!("is told {code} after {took:?}, and may take {limit:?}"));
            }
            Some(_) => {}
        }
    }

    /// Whether there is a limit that it may have reached.
    fn may_be_timed_out(&self, now: Tick) -> bool {
        let limits = self.mood.limits;
        let silent = now.since(self.spoke_before);
        let over =
            |took: Duration, limit: Option<Duration>| limit.is_some_and(|limit| took >= limit);
        over(silent, limits.client_idle)
            || over(silent, limits.idle_in_transaction)
            || over(now.since(self.busy_since), limits.transaction)
    }

    /// Whoever has taken too long is told before he says something again.
    fn is_not_overdue(&mut self, now: Tick) {
        if !self.mood.is_punctual || self.end.is_none() {
            return;
        }
        let slack = self.mood.slack();
        let limits = self.mood.limits;
        let silent_since = self.spoke_at.max(self.heard_at);
        let clocks = match (self.stage, self.open_since) {
            (Stage::Ready, _) => [(silent_since, limits.client_idle), (now, None)],
            (Stage::Working, Some(open_since)) if self.awaited.is_empty() => {
                [(silent_since, limits.idle_in_transaction), (open_since, limits.transaction)]
            }
            _ => return,
        };
        for (since, limit) in clocks {
            if limit.is_some_and(|limit| now.since(since) > limit + slack) {
                let took = now.since(since);
                self.violation(format!("has taken {took:?} of {limit:?}, and is not told"));
            }
        }
    }

    fn ready(&mut self, status: u8, net: &mut Net) {
        let heard = std::mem::take(&mut self.heard);
        self.heard_at = net.now();
        self.is_at_rest = status == b'I';
        if self.stage == Stage::LoggingIn {
            self.has_who = self.maker.starts_with_who;
            self.refusals = 0;
            return self.think(net);
        }
        let Some(step) = self.awaited.pop_front() else { return };
        self.note(format!("< {} rows, {}, {}", heard.rows.len(), heard.tag, char::from(status)));
        self.judge(&step, &heard, status);
        let unprepared = step.prepares.as_ref().filter(|_| !heard.is_parsed);
        unprepared.iter().for_each(|name| self.maker.unprepare(name));
        // A BEGIN the gate may have kept to itself.
        self.open_since = match (status, step.ends) {
            (b'I', _) | (_, Ends::Begins) => None,
            _ => self.open_since.or(Some(net.now())),
        };
        if !self.awaited.is_empty() {
            return;
        }
        let went_wrong = heard.error.is_some() && !matches!(step.want, Want::Error(_));
        if went_wrong {
            for step in std::mem::take(&mut self.to_send) {
                step.prepares.iter().for_each(|name| self.maker.unprepare(name));
            }
            if status != b'I' {
                let rollback =
                    Step { ends: Ends::RollsBack, ..work::simple("ROLLBACK", Want::Anything) };
                self.to_send.push_back(rollback);
            }
        }
        match self.to_send.front() {
            Some(next) => {
                let pause = next.pause.unwrap_or_default();
                net.after(pause, Due::Application(self.number));
            }
            None => self.think(net),
        }
    }

    /// Compares an answer with what it must be, and keeps book.
    fn judge(&mut self, step: &Step, heard: &Heard, status: u8) {
        self.awaited.push_front(step.clone()); // For the words of violations.
        let code = heard.error.as_ref().map(|(code, _)| code.as_str());
        let is_overdue = heard.error.as_ref().is_some_and(|(_, message)| is_of_timeout(message));
        match (&step.want, code) {
            (_, Some(_)) if is_overdue => {}
            (Want::TooLong, None) if self.mood.is_punctual => {
                self.violation("was not cancelled, and should have been".into());
            }
            (Want::Error(wanted), Some(code)) if *wanted == code => {}
            (Want::Error(wanted), None) => self.violation(format!("did not fail with {wanted}")),
            (_, Some("57014"))
                if self.may_be_cancelled || self.has_loose_cancel || self.was_overdue => {}
            (_, Some("25P02")) if status == b'E' => {} // What came before has failed.
            (_, Some(code)) if self.mood.is_quiet => {
                self.violation(format!("failed with {code}: {:?}", heard.error));
            }
            (_, Some(_)) | (Want::Anything | Want::TooLong, None) => {}
            (Want::Rows(rows), None) => {
                if *rows != heard.rows {
                    self.violation(format!("wanted {rows:?}, got {:?}", heard.rows));
                }
            }
            (Want::Setting(identity), None) => {
                let who = self.has_who.then(|| self.name.clone());
                let wanted = vec![vec![Some(identity.clone()), who]];
                if wanted != heard.rows {
                    self.violation(format!("wanted {wanted:?}, got {:?}", heard.rows));
                }
            }
        }
        self.awaited.pop_front();
        if heard.error.is_none()
            && let Some(who) = step.who
        {
            self.has_who = who == Who::Set || self.maker.starts_with_who;
        }
        self.keep_book(step, heard, status);
    }

    fn keep_book(&mut self, step: &Step, heard: &Heard, status: u8) {
        let is_done = heard.error.is_none();
        match step.ends {
            Ends::Begins if is_done => {
                self.is_in_transaction = true;
                self.had_who = self.has_who;
            }
            Ends::Commits | Ends::RollsBack => {
                let is_committed = is_done && heard.tag == "COMMIT" && self.is_in_transaction;
                let fate = if is_committed { Told::Committed } else { Told::Failed };
                for line in std::mem::take(&mut self.open_lines) {
                    self.lines.insert(line, fate);
                }
                if self.is_in_transaction && !is_committed {
                    self.has_who = self.had_who;
                }
                self.is_in_transaction = false;
            }
            _ => {}
        }
        for line in &step.lines {
            if self.is_in_transaction && is_done {
                self.open_lines.push(line.clone());
            } else {
                let fate = if is_done { Told::Committed } else { Told::Failed };
                self.lines.insert(line.clone(), fate);
            }
        }
        let wanted = match (step.ends, is_done) {
            (Ends::Begins | Ends::Within, true) if self.is_in_transaction => b'T',
            (_, true) => b'I',
            (_, false) => status,
        };
        if status != wanted {
            let (status, wanted) = (char::from(status), char::from(wanted));
            self.violation(format!("is told {status} instead of {wanted}"));
        }
    }
}

/// Whether these are the gate's words for a statement that has run for too long.
fn is_of_timeout(message: &str) -> bool {
    message.ends_with("due to Tidegate's query timeout")
}
