//! The stage for scripts: a client machine and a server machine, driven as the worker drives them.
//!
//! A script is a transcript. Lines that begin with `>` are what the client says, with `<` what
//! PostgreSQL says, with `!` what the worker does. What follows ` | ` is what came of it; nothing
//! follows where the bytes were passed on as they are and nothing else happened. ` @ 3..7` means
//! those bytes of the line's messages only. [`check`] plays
//! the script, writes the transcript anew, and compares; then it plays the same again with each
//! line cut in two at every byte, and byte by byte, where the outcome must be the same.

use tidegate_session::client::answers::{Answers, Probes};
use tidegate_session::client::{ClientMachine, Gathered, Naming, Rules};
use tidegate_session::examination::Findings;
use tidegate_session::listen::{Fanout, MARKER_CHANNEL};
use tidegate_session::parameters::{Reported, SessionSettings};
use tidegate_session::pieces::Pieces;
use tidegate_session::pin::{PinReason, PinReasons};
use tidegate_session::prepared::Environment;
use tidegate_session::prepared::interner::Interner;
use tidegate_session::server::{Errand, ErrandEnd, Heard, RESET_SQL, Review, ServerMachine};
use tidegate_session::traces::Channels;
use tidegate_wire::backend::{self, Report, Severity, TransactionStatus};
use tidegate_wire::catalogue::Complaint;
use tidegate_wire::frontend;
use tidegate_wire::sqlstate::SqlState;

/// Whether the client has a server.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Lease {
    None,
    /// It waits for one.
    Waiting,
    /// The server is being made ready for it.
    Preparing,
    Held,
    /// The client has vanished, said goodbye, or broke the protocol.
    Gone,
}

/// All that came of a play; equal for equal bytes, however they were cut.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) to_server: Vec<u8>,
    pub(crate) to_client: Vec<u8>,
    pub(crate) events: Vec<String>,
}

pub(crate) struct Stage {
    pub(crate) client: ClientMachine,
    pub(crate) server: ServerMachine,
    other: Option<ServerMachine>,
    lease: Lease,
    is_session: bool,
    no_server: bool,
    adapts: Option<Vec<u8>>,
    ahead: Option<String>,
    pins: PinReasons,
    /// The settings of the server.
    settings: SessionSettings,
    /// What the client may be answered without a server.
    probes: Probes,
    is_dirty: bool,
    /// The environment of the client, where prepared statements are shared.
    environment: Option<Environment>,
    interner: Interner,
    /// Texts that come again and again without a name are kept.
    keeps_unnamed: bool,
    /// What was relayed first in the lease.
    batch: Vec<u8>,
    pub(crate) outcome: Outcome,
}

fn server(statements_max: usize) -> ServerMachine {
    let mut reported = Reported::default();
    reported.note(b"TimeZone", b"UTC");
    ServerMachine::new(reported, statements_max)
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self {
            client: ClientMachine::default(),
            server: server(usize::MAX),
            other: None,
            lease: Lease::None,
            is_session: false,
            no_server: false,
            adapts: None,
            ahead: None,
            pins: PinReasons::NONE,
            settings: SessionSettings::default(),
            probes: Probes::Off,
            is_dirty: false,
            environment: None,
            interner: Interner::default(),
            keeps_unnamed: false,
            batch: Vec::new(),
            outcome: Outcome::default(),
        }
    }

    pub(crate) fn event(&mut self, event: impl Into<String>) {
        self.outcome.events.push(event.into());
    }

    pub(crate) fn client_says(&mut self, input: &[u8]) {
        match self.lease {
            Lease::Held if self.client.is_stalled() => self.client.hold(input),
            Lease::Held => self.relay(input),
            // The worker does not read from a client that waits; what it has read it holds.
            Lease::Waiting | Lease::Preparing => self.client.hold(input),
            Lease::Gone => {}
            Lease::None => {
                let mut reply = Pieces::default();
                let environment = self.environment.clone().unwrap_or_default();
                let mut answers = Answers {
                    probes: self.probes,
                    is_healthy: &|| true,
                    environment: &environment,
                    library: self.environment.is_some().then_some(&mut self.interner),
                };
                let gathered = self.client.gather(input, &mut answers, &mut reply);
                self.outcome.to_client.extend(reply.to_vec(input));
                match gathered {
                    Ok(Gathered::More) => {}
                    Ok(Gathered::Batch { from }) => self.check_out(&input[from..]),
                    Ok(Gathered::Held) => {
                        let held = self.client.take_held();
                        self.check_out(&held);
                    }
                    Ok(Gathered::Terminate) => self.leaves("goodbye"),
                    Err(fault) => self.leaves(&format!("client fault: {fault}")),
                }
            }
        }
    }

    fn check_out(&mut self, batch: &[u8]) {
        if self.no_server {
            self.client.hold(batch);
            self.lease = Lease::Waiting;
            self.event("wait");
        } else if let Some(sql) = self.adapts.take() {
            self.client.hold(batch);
            self.lease = Lease::Preparing;
            self.start(Errand::Adapt, &sql);
        } else {
            self.attached(batch);
        }
    }

    fn attached(&mut self, batch: &[u8]) {
        self.server.begin_lease();
        self.lease = Lease::Held;
        self.is_dirty |= self.is_session;
        self.event("lease");
        self.batch = batch.to_vec();
        self.relay(batch);
    }

    fn relay(&mut self, input: &[u8]) {
        let (mut out, mut reply) = (Pieces::default(), Pieces::default());
        let (keeps, environment) =
            (self.environment.is_some(), self.environment.clone().unwrap_or_default());
        let environment = &environment;
        let keeps_unnamed = self.keeps_unnamed;
        let library = &mut self.interner;
        let naming = Naming { keeps, keeps_unnamed, environment, library };
        let is_free = self.pins.is_empty();
        let ahead = self.ahead.take();
        let mut rules = Rules { is_free, ahead, naming: (!self.is_session).then_some(naming) };
        let server = &mut self.server;
        let relayed = self.client.relay(input, &mut rules, server, &mut out, &mut reply);
        self.outcome.to_server.extend(out.to_vec(input));
        self.outcome.to_client.extend(reply.to_vec(input));
        match relayed {
            Err(fault) => self.leaves(&format!("client fault: {fault}")),
            Ok(relayed) => {
                if relayed.terminate {
                    return self.leaves("goodbye");
                }
                self.after_exchange();
            }
        }
    }

    fn found(&mut self, findings: &Findings) {
        if let Some(changes) = &findings.changes {
            let none = SessionSettings::default();
            let (server, client) = changes.apply(&self.settings, &self.settings, &none);
            let all = client.iter().map(|(name, value)| format!(" {name}={value}"));
            self.event(format!("set{}", all.collect::<String>()));
            self.settings = server;
        }
        for reason in findings.holds.without(self.pins).iter() {
            self.event(format!("pin {reason}"));
        }
        let gone = findings.examined.without(findings.holds);
        let pins = self.pins;
        for reason in gone.iter().filter(|reason| pins.has(*reason)) {
            self.event(format!("unpin {reason}"));
        }
        self.pins = self.pins.without(findings.examined).and(findings.holds);
    }

    pub(crate) fn server_says(&mut self, input: &[u8]) {
        let (mut client, mut server) = (Pieces::default(), Pieces::default());
        let names = (self.lease == Lease::Held).then(|| self.client.statements());
        let heard = self.server.receive(input, names, &mut client, &mut server);
        self.outcome.to_server.extend(server.to_vec(input));
        if matches!(self.lease, Lease::Held) {
            self.outcome.to_client.extend(client.to_vec(input));
        } else if !client.is_empty() && heard.as_ref().is_ok_and(|heard| heard.errand.is_some()) {
            self.event("answers of an errand reached for a client");
        }
        let heard = match heard {
            Ok(heard) => heard,
            Err(fault) => return self.event(format!("server fault: {fault}")),
        };
        let mut heard = heard;
        let is_commit_in_doubt = heard.is_commit_in_doubt;
        let farewell = heard.farewell.take();
        let fatal = heard.fatal.take().map(|fatal| format!("farewell {}", fatal.sqlstate));
        if heard.is_fatal_withheld {
            self.heard(heard);
            let words = fatal.unwrap_or_default();
            return self.event(format!("withheld {words}{}", in_doubt(is_commit_in_doubt)));
        }
        if let (Some(words), None) = (&fatal, &farewell) {
            self.event(words);
        }
        self.heard(heard);
        if let (Some(words), Some(farewell)) = (fatal, farewell) {
            if self.lease == Lease::Held {
                self.outcome.to_client.extend(farewell);
            }
            self.event(words);
        }
    }

    fn heard(&mut self, heard: Heard) {
        self.is_dirty |= heard.parameters_reset && self.is_session;
        if let Some(end) = heard.errand {
            return self.errand_ended(end);
        }
        if let Some(error) = heard.ahead_failed {
            self.lease = Lease::Gone;
            return self.event(format!("ahead failed: {} | close", error.sqlstate));
        }
        if heard.listens_to_markers {
            self.event("listens to markers");
        }
        if heard.marker_came {
            self.event("marker");
        }
        if let Some(reported) = heard.adapted {
            let zone = reported.get(&b"TimeZone"[..]).map(|zone| String::from_utf8_lossy(zone));
            self.event(format!("told {}", zone.unwrap_or_default()));
        }
        if let Some(findings) = heard.findings {
            self.found(&findings);
        }
        if heard.discarded {
            self.pins = self.pins.without(PinReasons::NONE.with(PinReason::Sequence));
        }
        if let Some(statement) = heard.useless {
            self.interner.forget(&statement);
        }
        if heard.schema_changed {
            self.interner.forget_all();
        }
        if heard.parameter_reported && self.lease == Lease::None {
            self.server.retire_statements();
        }
        if self.lease == Lease::Held {
            if let Some(batch) = heard.again {
                self.event("again");
                self.relay(&batch);
            } else if self.client.is_stalled() {
                let held = self.client.take_held();
                self.relay(&held);
            } else {
                self.after_exchange();
            }
        }
    }

    fn errand_ended(&mut self, end: ErrandEnd) {
        match end {
            ErrandEnd::Done(errand) => self.event(format!("{errand:?} done")),
            ErrandEnd::Failed(errand, error) => {
                self.event(format!("{errand:?} failed: {} {}", error.sqlstate, error.message));
                if self.lease == Lease::Preparing {
                    // In the order of the worker: the lease ends, then the batch is answered.
                    self.client.end_lease();
                    self.lease = Lease::None;
                    self.refuse();
                }
                return;
            }
        }
        if self.lease == Lease::Preparing {
            let held = self.client.take_held();
            self.attached(&held);
        }
    }

    fn after_exchange(&mut self) {
        let at_rest = self.server.exchange().is_at_rest()
            && self.server.errand().is_none()
            && self.server.is_between_frames()
            && self.client.is_passed_on();
        if !at_rest || self.is_session {
            return;
        }
        let mut out = Pieces::default();
        let review = self.server.review(self.pins, &self.settings, &mut out);
        self.outcome.to_server.extend(out.to_vec(&[]));
        match review {
            Review::Asked { .. } => return,
            Review::Clean => {}
            Review::Known(findings) => self.found(&findings),
        }
        if self.pins.is_empty() {
            self.client.end_lease();
            self.lease = Lease::None;
            self.lease_ended();
        }
    }

    fn lease_ended(&mut self) {
        let is_pinned = !std::mem::take(&mut self.pins).is_empty();
        let dirty = std::mem::take(&mut self.is_dirty) || is_pinned;
        self.event(if dirty { "return dirty" } else { "return" });
    }

    /// The client says no more, and its server is taken from it.
    fn leaves(&mut self, why: &str) {
        self.event(why);
        let lease = std::mem::replace(&mut self.lease, Lease::Gone);
        if lease != Lease::Held {
            return;
        }
        if self.client.is_mid_message() || self.server.exchange().is_unsure() {
            return self.event("close");
        }
        if self.server.exchange().is_at_rest() {
            self.is_dirty |= self.server.is_unsettled();
            return self.lease_ended();
        }
        if self.server.exchange().is_busy_for_client() {
            self.event("cancel");
        }
        let mut out = Pieces::default();
        self.server.recover(&mut out);
        self.outcome.to_server.extend(out.to_vec(&[]));
    }

    fn start(&mut self, errand: Errand, sql: &[u8]) {
        let mut out = Pieces::default();
        self.server.start(errand, sql, &mut out);
        self.outcome.to_server.extend(out.to_vec(&[]));
    }

    fn refuse(&mut self) {
        let mut reply = Pieces::default();
        let goodbye = self.client.refuse(&Complaint::query_cancelled(), &mut reply);
        self.outcome.to_client.extend(reply.to_vec(&[]));
        self.lease = Lease::None;
        if goodbye {
            self.leaves("goodbye");
        }
    }

    fn directive(&mut self, words: &str) {
        let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
        match verb {
            "session" => self.is_session = true,
            // The client's prepared statements are shared; a server keeps at most so many.
            "share" => {
                self.environment = Some(Environment::default());
                self.server = server(rest.parse().unwrap_or(200));
            }
            // Another server, to which nobody has sent anything.
            "move" if rest.is_empty() => self.server = server(200),
            // The other of two servers.
            "swap" => {
                let other = self.other.take().unwrap_or_else(|| server(200));
                self.other = Some(std::mem::replace(&mut self.server, other));
            }
            "keep" => self.keeps_unnamed = true,
            "environment" => {
                let parameters = [(&b"TimeZone"[..], rest.as_bytes())];
                let parameters = SessionSettings::new(parameters).expect("valid parameters");
                self.environment = Some(Environment::of("app", "app", &parameters));
            }
            "probes" => {
                self.probes = if rest == "all" { Probes::All } else { Probes::Begin };
            }
            // The settings of the client go in front of its next batch.
            "ahead" => self.ahead = Some(rest.to_owned()),
            "full" => self.no_server = true,
            "free" => self.no_server = false,
            "hand-off" => {
                self.no_server = false;
                let held = self.client.take_held();
                self.attached(&held);
            }
            "refuse" => self.refuse(),
            "adapt" => self.adapts = Some(rest.as_bytes().to_vec()),
            // What the client listens to moves: at this marker.
            "move" if rest == "listening" => {
                let mut out = Pieces::default();
                self.server.listen_to_markers(&mut out);
                self.outcome.to_server.extend(out.to_vec(&[]));
            }
            "marker" => {
                let marker = Fanout::default().begin_move(1_u8, Channels::default()).0;
                self.server.hand_over_at(marker);
            }
            "check" => self.start(Errand::Check, b""),
            // An error that ends the connection is not passed on.
            "withhold" => self.server.withhold_fatal(true),
            // The server is no more: whether anything is in doubt.
            "lost" => self.event(format!("lost{}", in_doubt(self.server.is_commit_in_doubt()))),
            // It is, and another takes its place: the batch is relayed to that.
            "elsewhere" => {
                let batch = std::mem::take(&mut self.batch);
                self.client.take_back(&batch, &mut self.server);
                self.server = server(200);
                let held = self.client.take_held();
                self.attached(&held);
            }
            "reset" => self.start(Errand::Reset, RESET_SQL),
            "vanish" => self.leaves("vanished"),
            // The next client of the same server.
            "next" => {
                self.client = ClientMachine::default();
                self.lease = Lease::None;
            }
            other => panic!("no such directive: {other}"),
        }
    }
}

fn in_doubt(is_commit_in_doubt: bool) -> &'static str {
    if is_commit_in_doubt { ", a commit is in doubt" } else { "" }
}

/// Who speaks, and the bytes.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Client(Vec<u8>),
    Server(Vec<u8>),
    Worker(String),
}

impl Step {
    pub(crate) fn parse(line: &str) -> Self {
        let (who, words) = line.split_at(1);
        let words = words.trim();
        if let Some((words, range)) = words.split_once(" @ ") {
            let (from, to) = range.split_once("..").expect("a range");
            let part = |mut bytes: Vec<u8>| {
                bytes.truncate(to.parse().unwrap_or(bytes.len()));
                bytes.split_off(from.parse().unwrap_or(0))
            };
            return match Self::parse(&format!("{who} {words}")) {
                Self::Client(bytes) => Self::Client(part(bytes)),
                Self::Server(bytes) => Self::Server(part(bytes)),
                worker => worker,
            };
        }
        match who {
            ">" => Self::Client(frontend_message(words)),
            "<" => Self::Server(backend_message(words)),
            "!" => Self::Worker(words.to_owned()),
            _ => panic!("a line begins with >, <, or !: {line}"),
        }
    }

    pub(crate) fn play_whole(&self, stage: &mut Stage) {
        self.play(stage, [self.bytes()]);
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Client(bytes) | Self::Server(bytes) => bytes,
            Self::Worker(_) => &[],
        }
    }

    pub(crate) fn play<'a>(&'a self, stage: &mut Stage, parts: impl IntoIterator<Item = &'a [u8]>) {
        match self {
            Self::Worker(words) => stage.directive(words),
            Self::Client(_) => parts.into_iter().for_each(|part| stage.client_says(part)),
            Self::Server(_) => parts.into_iter().for_each(|part| stage.server_says(part)),
        }
    }
}

/// Plays the transcript and compares it with what happens.
#[track_caller]
pub(crate) fn check(transcript: &str) {
    let lines: Vec<_> = transcript.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let inputs: Vec<_> = lines.iter().map(|line| line.split(" | ").next().unwrap_or("")).collect();
    let steps: Vec<_> = inputs.iter().map(|line| Step::parse(line)).collect();

    let mut stage = Stage::new();
    let mut played = Vec::new();
    for (input, step) in inputs.iter().zip(&steps) {
        let before = stage.outcome.clone();
        step.play(&mut stage, [step.bytes()]);
        let notes = notes(step, &before, &stage.outcome);
        let notes: String = notes.iter().map(|note| format!(" | {note}")).collect();
        played.push(format!("{}{notes}", input.trim_end()));
    }
    let squeeze = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let expected: Vec<_> = lines.iter().map(|line| squeeze(line)).collect();
    let played: Vec<_> = played.iter().map(|line| squeeze(line)).collect();
    assert!(played == expected, "what happened:\n{}\n", played.join("\n"));

    let whole = stage.outcome;
    for (place, step) in steps.iter().enumerate() {
        for cut in 1..step.bytes().len().min(300) {
            let outcome = play_cut(&steps, |at, bytes| match at == place {
                true => vec![&bytes[..cut], &bytes[cut..]],
                false => vec![bytes],
            });
            assert_eq!(outcome, whole, "\"{}\" cut at byte {cut}", inputs[place]);
        }
    }
    for size in [1, 2, 3, 7] {
        let outcome = play_cut(&steps, |_, bytes| bytes.chunks(size).collect());
        assert_eq!(outcome, whole, "in chunks of {size}");
    }
}

pub(crate) fn play_cut(steps: &[Step], cut: impl Fn(usize, &[u8]) -> Vec<&[u8]>) -> Outcome {
    let mut stage = Stage::new();
    for (place, step) in steps.iter().enumerate() {
        step.play(&mut stage, cut(place, step.bytes()));
    }
    stage.outcome
}

fn notes(step: &Step, before: &Outcome, after: &Outcome) -> Vec<String> {
    let to_server = &after.to_server[before.to_server.len()..];
    let to_client = &after.to_client[before.to_client.len()..];
    let mut notes = Vec::new();
    let (forwarded, answered) = match step {
        Step::Client(bytes) => (to_server == bytes, to_client.is_empty()),
        Step::Server(bytes) => (to_server.is_empty(), to_client == bytes),
        Step::Worker(_) => (to_server.is_empty(), to_client.is_empty()),
    };
    let name = |bytes: &[u8], what: fn(u8, &[u8]) -> String| match bytes {
        [] => "nothing".to_owned(),
        bytes => frames(bytes).map(|(tag, body)| what(tag, body)).collect::<Vec<_>>().join(", "),
    };
    if !forwarded {
        notes.push(format!("server: {}", name(to_server, frontend_name)));
    }
    if !answered {
        notes.push(format!("client: {}", name(to_client, backend_name)));
    }
    notes.extend(after.events[before.events.len()..].iter().cloned());
    notes
}

/// The frames of a stream; what is left of one that is cut comes with tag `?`.
pub(crate) fn frames(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (&tag, rest) = bytes.split_first()?;
        let whole = rest.first_chunk().map(|length| u32::from_be_bytes(*length) as usize);
        match whole.and_then(|length| rest.split_at_checked(length)) {
            Some((body, rest)) => {
                bytes = rest;
                Some((tag, &body[4..]))
            }
            None => Some((b'?', std::mem::take(&mut bytes))),
        }
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn frontend_name(tag: u8, body: &[u8]) -> String {
    use frontend::{Message, Target};
    let Some(tag) = frontend::Tag::from_byte(tag) else { return format!("{} bytes", body.len()) };
    match Message::decode(tag, body) {
        Ok(Message::Query(sql)) if sql == RESET_SQL => "Query RESET_SQL".into(),
        Ok(Message::Query(sql)) if sql.starts_with(b"SELECT 'h'") => "Question".into(),
        Ok(Message::Query(sql))
            if [&b"SELECT 's'"[..], b"SELECT 'c'"].iter().any(|front| sql.starts_with(front)) =>
        {
            "Question".into()
        }
        Ok(Message::Query(sql)) => format!("Query {}", text(sql)).trim_end().to_owned(),
        Ok(Message::Parse { name, parameter_types, .. }) if !parameter_types.is_empty() => {
            let types =
                parameter_types.as_chunks::<4>().0.iter().map(|oid| u32::from_be_bytes(*oid));
            format!("{tag:?} {} {:?}", text(name), types.collect::<Vec<_>>())
        }
        Ok(
            Message::Bind { statement: name, .. }
            | Message::Close { target: Target::Statement, name }
            | Message::Describe { target: Target::Statement, name }
            | Message::Parse { name, .. },
        ) => format!("{tag:?} {}", text(name)).trim_end().to_owned(),
        _ => format!("{tag:?}"),
    }
}

pub(crate) fn backend_name(tag: u8, body: &[u8]) -> String {
    use backend::Message;
    let Some(tag) = backend::Tag::from_byte(tag) else { return format!("{} bytes", body.len()) };
    match Message::decode(tag, body) {
        Ok(Message::ReadyForQuery(status)) => {
            format!("ReadyForQuery {}", char::from(status.byte()))
        }
        Ok(Message::ErrorResponse(fields)) => {
            let code = fields.sqlstate().map(|code| code.as_str().to_owned());
            let quoted = fields.message().map(text).filter(|message| message.contains('"'));
            let quoted = quoted.map_or_else(String::new, |message| format!(" {message}"));
            format!("ErrorResponse {}{quoted}", code.unwrap_or_default())
        }
        _ => format!("{tag:?}"),
    }
}

pub(crate) fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a test's frame is short");
    let mut out = vec![tag];
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(body);
    out
}

/// `Query select 1`, `Parse name: select 1`, `Execute`, …; ` + ` joins what comes in one read.
pub(crate) fn frontend_message(words: &str) -> Vec<u8> {
    use frontend::{Message, Target};
    if words.contains(" + ") {
        return words.split(" + ").flat_map(|words| frontend_message(words.trim())).collect();
    }
    let (name, rest) = words.split_once(' ').unwrap_or((words, ""));
    let rest = rest.trim();
    let (object, sql) = rest.split_once(':').unwrap_or(("", rest));
    let (object, sql) = (object.as_bytes(), sql.trim().as_bytes());
    let message = match name {
        "Bind" => Message::Bind { portal: b"", statement: rest.as_bytes(), rest: &[0; 6] },
        "Close" => Message::Close { target: Target::Statement, name: rest.as_bytes() },
        "CopyData" => Message::CopyData(rest.as_bytes()),
        "CopyDone" => Message::CopyDone,
        "CopyFail" => Message::CopyFail(rest.as_bytes()),
        "DescribeStatement" => {
            Message::Describe { target: Target::Statement, name: rest.as_bytes() }
        }
        "Describe" => Message::Describe { target: Target::Portal, name: rest.as_bytes() },
        "Execute" => Message::Execute { portal: b"", rows_max: 0 },
        "Flush" => Message::Flush,
        "FunctionCall" => Message::FunctionCall(&[0; 10]),
        "Parse" => Message::Parse { name: object, text: sql, parameter_types: &[] },
        "Query" => Message::Query(rest.as_bytes()),
        "Sync" => Message::Sync,
        "Terminate" => Message::Terminate,
        "raw" => return raw(rest),
        other => panic!("no such message: {other}"),
    };
    let mut out = Vec::new();
    message.encode(&mut out).expect("a test's message can be encoded");
    out
}

/// Hexadecimal bytes.
fn raw(words: &str) -> Vec<u8> {
    words.split(' ').map(|byte| u8::from_str_radix(byte, 16).expect("a byte")).collect()
}

fn row(columns: &[Option<&str>]) -> Vec<u8> {
    let mut body = u16::try_from(columns.len()).expect("few").to_be_bytes().to_vec();
    for column in columns {
        let length = column.map_or(-1, |text| i32::try_from(text.len()).expect("short"));
        body.extend(length.to_be_bytes());
        body.extend(column.unwrap_or_default().as_bytes());
    }
    frame(backend::Tag::DataRow.byte(), &body)
}

/// `CommandComplete SELECT 1`, `ReadyForQuery T`, `ErrorResponse 42601`, `Fatal 57P01`, …
pub(crate) fn backend_message(words: &str) -> Vec<u8> {
    use backend::{Message, Tag};
    if words.contains(" + ") {
        return words.split(" + ").flat_map(|words| backend_message(words.trim())).collect();
    }
    let (name, rest) = words.split_once(' ').unwrap_or((words, ""));
    let rest = rest.trim();
    let mut out = Vec::new();
    let (code, said) = rest.split_once(' ').unwrap_or((rest, "it is so"));
    let report = |severity, code: &str| Report {
        severity,
        sqlstate: SqlState::from_bytes(code.as_bytes()).expect("a SQLSTATE"),
        message: said,
        detail: None,
        hint: None,
    };
    let message = match name {
        "BindComplete" => Message::BindComplete,
        "CloseComplete" => Message::CloseComplete,
        "CommandComplete" => Message::CommandComplete(rest.as_bytes()),
        "CopyBothResponse" => Message::CopyBothResponse(&[0; 3]),
        "CopyData" => Message::CopyData(rest.as_bytes()),
        "CopyDone" => Message::CopyDone,
        "CopyInResponse" => Message::CopyInResponse(&[0; 3]),
        "CopyOutResponse" => Message::CopyOutResponse(&[0; 3]),
        // A row of an examination: a reason that holds; a setting, and its value in hexadecimal.
        "Holds" => {
            let reason = PinReason::ALL.into_iter().find(|reason| reason.as_str() == rest);
            let index = reason.expect("a reason").index().to_string();
            return row(&[Some("h"), Some(&index), None]);
        }
        "Value" => {
            let (name, value) = rest.split_once('=').expect("name=value");
            let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
            return row(&[
                Some("s"),
                Some(name),
                Some(&hex).filter(|hex| !hex.is_empty()).map(|s| &**s),
            ]);
        }
        "DataRow" => return frame(Tag::DataRow.byte(), &[&[0, 1, 0, 0, 0, 1], &b"1"[..]].concat()),
        "EmptyQueryResponse" => Message::EmptyQueryResponse,
        "ErrorResponse" => {
            report(Severity::Error, code).encode_error(&mut out);
            return out;
        }
        "Fatal" => {
            report(Severity::Fatal, code).encode_error(&mut out);
            return out;
        }
        "FunctionCallResponse" => return frame(b'V', &(-1_i32).to_be_bytes()),
        "NoData" => Message::NoData,
        "NoticeResponse" => {
            report(Severity::Warning, "25P01").encode_notice(&mut out);
            return out;
        }
        "Marker" => {
            let channel = MARKER_CHANNEL.as_bytes();
            Message::NotificationResponse { pid: 7, channel, payload: rest.as_bytes() }
        }
        "NotificationResponse" => {
            Message::NotificationResponse { pid: 7, channel: b"news", payload: b"" }
        }
        // The error of a statement whose result has changed.
        "Changed" => {
            let fields = b"SERROR\0VERROR\0C0A000\0Mit has changed\0RRevalidateCachedQuery\0\0";
            return frame(Tag::ErrorResponse.byte(), fields);
        }
        // With the numbers of types.
        "ParameterDescription" => {
            let types = rest.split_whitespace().map(|oid| oid.parse::<u32>().expect("a number"));
            let types: Vec<_> = types.flat_map(u32::to_be_bytes).collect();
            let count = u16::try_from(types.len() / 4).expect("few").to_be_bytes();
            return frame(b't', &[&count[..], &types].concat());
        }
        "ParameterStatus" => {
            let (name, value) = rest.split_once('=').expect("name=value");
            Message::ParameterStatus { name: name.as_bytes(), value: value.as_bytes() }
        }
        "ParseComplete" => Message::ParseComplete,
        "PortalSuspended" => Message::PortalSuspended,
        "ReadyForQuery" => {
            let status = TransactionStatus::from_byte(rest.as_bytes()[0]).expect("I, T, or E");
            Message::ReadyForQuery(status)
        }
        // With the names of columns.
        "RowDescription" => {
            let names = rest.split_whitespace();
            let columns: Vec<_> = names.map(|name| [name.as_bytes(), &[0; 19]].concat()).collect();
            let count = u16::try_from(columns.len()).expect("few").to_be_bytes();
            return frame(b'T', &[&count[..], &columns.concat()].concat());
        }
        "raw" => return raw(rest),
        other => panic!("no such message: {other}"),
    };
    message.encode(&mut out).expect("a test's message can be encoded");
    out
}
