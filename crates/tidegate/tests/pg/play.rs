//! Plays a script on a route and writes down what is answered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidegate_testkit::batch::Batch;
use tidegate_testkit::raw::{Frame, Raw, Silence};

use crate::noise::SERVERS;
use crate::normal::Normal;
use crate::script::Script;
use crate::stage::{Route, SESSIONS_MAX, Stage};
use crate::step::{Act, Step, Until};

/// What came at one point of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Where the script is.
    pub(crate) line: usize,
    pub(crate) frames: Vec<Frame>,
    pub(crate) end: End,
}

/// Why no more was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// What the script waits for has come.
    Reached,
    /// The connection was closed.
    Closed,
    /// Nothing came in time.
    Silent,
}

/// Longer than any statement of a script takes. Only what is wrong waits so long.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// All answers in order, with what may differ made equal. A silence ends it.
///
/// # Errors
/// What is left of the script when its clients have gone.
pub(crate) fn play(
    stage: &mut Stage,
    route: Route,
    script: &Script,
    steps: &[Step],
) -> Result<Vec<Answer>, Vec<String>> {
    stage.clean();
    let names: BTreeSet<&str> = steps.iter().map(|step| step.session.as_str()).collect();
    assert!(names.len() <= SESSIONS_MAX, "{} has too many sessions for the pool", script.name);
    // Whoever listens on the transaction port has a server that listens in its stead.
    let listens = |step: &Step| match &step.act {
        Act::Send(bytes) => bytes.windows(7).any(|words| words == b"LISTEN "),
        Act::UntilBlocked | Act::Read(_) => false,
    };
    let listens = steps.iter().any(listens);
    let ears = usize::from(route == Route::Transaction && listens);
    let mut talk = Talk {
        route,
        sessions_max: (names.len() + ears).min(SERVERS - 1),
        startup: &script.head.startup,
        sessions: BTreeMap::new(),
        blocked: 0,
        normal: Normal::default(),
        answers: Vec::new(),
    };
    for step in steps {
        talk.step(stage, step);
        if talk.answers.last().is_some_and(|answer| answer.end == End::Silent) {
            break;
        }
    }
    for mut raw in talk.sessions.into_values() {
        raw.send(Batch::new().terminate().bytes());
    }
    stage.until_gone()?;
    Ok(talk.answers)
}

struct Talk<'a> {
    route: Route,
    /// How many there will be.
    sessions_max: usize,
    startup: &'a [(String, String)],
    sessions: BTreeMap<&'a str, Raw>,
    /// How many statements wait for locks.
    blocked: usize,
    normal: Normal,
    answers: Vec<Answer>,
}

impl<'a> Talk<'a> {
    fn step(&mut self, stage: &mut Stage, step: &'a Step) {
        if !self.sessions.contains_key(step.session.as_str()) {
            self.connect(stage, step);
        }
        let raw = self.sessions.get_mut(step.session.as_str()).expect("it is connected");
        match &step.act {
            Act::Send(bytes) => {
                if self.route == Route::Transaction {
                    stage.stir(self.sessions_max);
                }
                raw.send(bytes);
            }
            Act::UntilBlocked => {
                self.blocked += 1;
                stage.until_blocked(self.blocked);
            }
            Act::Read(until) => {
                let (frames, end) = read(raw, *until);
                self.blocked = 0;
                self.write_down(step.line, frames, end);
            }
        }
    }

    fn connect(&mut self, stage: &Stage, step: &'a Step) {
        let pairs = self.startup.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut raw = stage.client(self.route, &pairs.collect::<Vec<_>>());
        raw.stream().set_read_timeout(Some(SILENCE_MAX)).expect("a time-out is set");
        let mut parameters = std::mem::take(&mut raw.parameters);
        Normal::make_login(&mut parameters);
        self.write_down(step.line, parameters, End::Reached);
        self.sessions.insert(&step.session, raw);
    }

    fn write_down(&mut self, line: usize, mut frames: Vec<Frame>, end: End) {
        frames.iter_mut().for_each(|frame| self.normal.make(frame));
        self.answers.push(Answer { line, frames, end });
    }
}

fn read(raw: &mut Raw, until: Until) -> (Vec<Frame>, End) {
    let mut frames = Vec::new();
    loop {
        let is_reached = match until {
            Until::Tag(tag) => frames.last().is_some_and(|last: &Frame| last.tag == tag),
            Until::Count(count) => frames.len() == count,
            Until::End => false,
        };
        if is_reached {
            return (frames, End::Reached);
        }
        match raw.try_next() {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, End::Closed),
            Err(Silence) => return (frames, End::Silent),
        }
    }
}
