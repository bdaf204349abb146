//! What applications do, and what must come of it.

use std::time::Duration;

use tidegate_wire::frontend::{self, Message};

use crate::random::Random;
use crate::scenario::Focus;

/// Up to one ReadyForQuery, and what must be answered.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) bytes: Vec<u8>,
    /// What it is, for whoever has to find out what went wrong.
    pub(crate) words: String,
    pub(crate) want: Want,
    /// Lines that it writes into the ledger.
    pub(crate) lines: Vec<String>,
    /// How it changes the application's setting, if it succeeds.
    pub(crate) who: Option<Who>,
    pub(crate) ends: Ends,
    /// The statement that it prepares.
    pub(crate) prepares: Option<String>,
    /// What is sent once a copy has begun.
    pub(crate) copy: Vec<Vec<u8>>,
    /// How long after the step before its answer it is sent; none: with it.
    pub(crate) pause: Option<Duration>,
}

/// What must be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Want {
    /// These rows, none is NULL's.
    Rows(Vec<Vec<Option<String>>>),
    /// The application's identity, and its setting.
    Setting(String),
    /// An error.
    Error(&'static str),
    /// That it has taken too long.
    TooLong,
    /// Whatever it is, no error.
    Anything,
}

/// A change of the setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Set,
    Reset,
}

/// Where in a transaction a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// It is a transaction of its own.
    Alone,
    Begins,
    Within,
    Commits,
    RollsBack,
}

/// What to do with the connection meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mischief {
    None,
    /// It cancels what it runs, after this time.
    Cancel(Duration),
    /// It vanishes after this time, if what it runs has not ended.
    Leave(Duration),
    /// It vanishes, when so many bytes more have been sent.
    Vanish(usize),
}

#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) steps: Vec<Step>,
    pub(crate) mischief: Mischief,
}

/// The kinds of work below so many come by themselves.
const KINDS: usize = 12;

// Those that a focus asks for.
const STATEMENT: usize = 0;
const TRANSACTION: usize = 3;
const CANCELLED: usize = 9;
/// What can be hit by a cancel of another's.
const SLEEP: usize = KINDS;

/// Makes up work for one application.
pub(crate) struct Maker {
    pub(crate) name: String,
    serial: usize,
    /// Statements that it has prepared on this connection: name and text.
    prepared: Vec<(String, String)>,
    focus: Focus,
    pub(crate) may_vanish: bool,
    /// Its setting comes with its startup packet.
    pub(crate) starts_with_who: bool,
    lock: usize,
    /// A statement is ended before it has taken so long.
    too_long: Option<Duration>,
}

impl Maker {
    pub(crate) fn new(
        number: usize,
        focus: Focus,
        may_vanish: bool,
        starts_with_who: bool,
        too_long: Option<Duration>,
    ) -> Self {
        Self {
            focus,
            name: format!("c{number}"),
            serial: 0,
            prepared: Vec::new(),
            may_vanish,
            starts_with_who,
            lock: number + 1,
            too_long,
        }
    }

    /// The connection is a new one.
    pub(crate) fn forget(&mut self) {
        self.prepared.clear();
    }

    /// A statement that was to be prepared is not.
    pub(crate) fn unprepare(&mut self, name: &str) {
        self.prepared.retain(|(known, _)| known != name);
    }

    fn identity(&mut self) -> String {
        self.serial += 1;
        format!("{}.{}", self.name, self.serial)
    }

    /// What to do next.
    pub(crate) fn work(&mut self, random: &mut Random) -> Work {
        let mut mischief = Mischief::None;
        let usual = match self.focus {
            Focus::Cancels => random.pick(&[CANCELLED, CANCELLED, SLEEP]),
            Focus::Leaving => random.pick(&[TRANSACTION, SLEEP]),
            Focus::Prepared => STATEMENT,
            Focus::Everything
            | Focus::Clocks
            | Focus::Drain
            | Focus::Failover
            | Focus::Timeouts => random.below(KINDS),
        };
        let work = if random.one_in(6) { random.below(KINDS) } else { usual };
        let too_long = self.too_long.map(|time| time.as_millis() as usize);
        let steps = match work {
            _ if too_long.is_some() && random.one_in(10) => {
                let step = sleep(self.identity(), too_long.unwrap_or_default());
                vec![Step { want: Want::TooLong, ..step }]
            }
            STATEMENT..TRANSACTION => vec![self.statement(random)],
            TRANSACTION | 4 => self.transaction(random),
            5 => {
                // In one piece.
                let mut steps = self.transaction(random);
                for step in steps.iter_mut().skip(1) {
                    step.pause = None;
                }
                steps
            }
            6 => (0..random.between(2, 5))
                .map(|place| {
                    let mut step = self.statement(random);
                    step.pause = (place == 0).then_some(Duration::ZERO);
                    step
                })
                .collect(),
            7 => vec![self.setting(random)],
            8 => vec![self.copy(random)],
            CANCELLED => {
                let millis = random.between(1, 60);
                // Near its end, whether there was a wait before it or not.
                let after = random.between(millis / 2, millis + 200) as u64;
                mischief = Mischief::Cancel(Duration::from_millis(after));
                vec![sleep(self.identity(), millis)]
            }
            SLEEP => vec![sleep(self.identity(), random.between(1, 150))],
            10 => self.locked(random),
            _ => vec![self.statement(random), self.setting(random), self.statement(random)],
        };
        let is_leaving = self.focus == Focus::Leaving;
        let vanishes_in = if is_leaving { 2 } else { 12 };
        if self.may_vanish && random.one_in(vanishes_in) {
            let bytes = steps.iter().map(|step| step.bytes.len()).sum();
            let leaves = random.one_in(2) || is_leaving && random.one_in(2);
            // As long as it may have to wait for a server.
            let millis = random.between(1, if is_leaving { 3000 } else { 500 }) as u64;
            mischief = match leaves {
                true => Mischief::Leave(Duration::from_millis(millis)),
                false => Mischief::Vanish(random.between(0, bytes)),
            };
        }
        Work { steps, mischief }
    }

    fn statement(&mut self, random: &mut Random) -> Step {
        let identity = self.identity();
        // What is beyond the table below is prepared.
        let kinds = if self.focus == Focus::Prepared { 14 } else { 9 };
        match random.below(kinds) {
            0 | 1 => {
                let sql = format!("SELECT '{identity}', current_setting('app.who', true)");
                simple(&sql, Want::Setting(identity))
            }
            2 => {
                let sql = format!("INSERT INTO ledger VALUES ('{identity}')");
                Step { lines: vec![identity], ..simple(&sql, Want::Anything) }
            }
            3 => simple("SELECT 1/0", Want::Error("22012")),
            4 => {
                let end = random.between(1, 400);
                let sql = format!("SELECT '{identity}', g FROM generate_series(1, {end}) g");
                let row = |g: usize| vec![Some(identity.clone()), Some(g.to_string())];
                simple(&sql, Want::Rows((1..=end).map(row).collect()))
            }
            5 => {
                let sql = "INSERT INTO ledger VALUES ($1)";
                let step = self.extended(random, sql, &identity, Want::Anything);
                Step { lines: vec![identity], ..step }
            }
            6 => sleep(identity, random.between(1, 30)),
            _ => {
                let sql = "SELECT $1::text, current_setting('app.who', true)";
                self.extended(random, sql, &identity, Want::Setting(identity.clone()))
            }
        }
    }

    /// A statement of the extended protocol, with a name or without.
    fn extended(&mut self, random: &mut Random, sql: &str, value: &str, want: Want) -> Step {
        let mut bytes = Vec::new();
        let known = self.prepared.iter().find(|(_, text)| text == sql).cloned();
        let (mut name, mut prepares) = (String::new(), None);
        match known {
            Some((known, _)) if !random.one_in(3) => name = known,
            None if random.one_in(2) => {
                name = format!("s{}", self.prepared.len());
                self.prepared.push((name.clone(), sql.to_owned()));
                parse(&mut bytes, &name, sql);
                prepares = Some(name.clone());
            }
            _ => parse(&mut bytes, "", sql),
        }
        let rest =
            [&[0, 0, 0, 1][..], &(value.len() as u32).to_be_bytes(), value.as_bytes(), &[0, 0]];
        let bind = Message::Bind { portal: b"", statement: name.as_bytes(), rest: &rest.concat() };
        push(&mut bytes, &bind);
        if random.one_in(2) {
            push(&mut bytes, &Message::Describe { target: frontend::Target::Portal, name: b"" });
        }
        push(&mut bytes, &Message::Execute { portal: b"", rows_max: 0 });
        push(&mut bytes, &Message::Sync);
        let words = format!("[{sql}] as \"{name}\" with {value}");
        Step { bytes, words, prepares, ..simple("", want) }
    }

    fn transaction(&mut self, random: &mut Random) -> Vec<Step> {
        let commits = !random.one_in(3);
        let mut steps = vec![Step { ends: Ends::Begins, ..simple("BEGIN", Want::Anything) }];
        for _ in 0..random.between(0, 4) {
            let step = if random.one_in(4) { self.setting(random) } else { self.statement(random) };
            // What follows an error would fail, and what follows a RESET in a transaction may see
            // what a session without startup parameters would: that is documented.
            let may_be_blind = step.who == Some(Who::Reset) && self.starts_with_who;
            if !matches!(step.want, Want::Error(_)) && !may_be_blind {
                steps.push(Step { ends: Ends::Within, ..step });
            }
        }
        let (sql, ends) =
            if commits { ("COMMIT", Ends::Commits) } else { ("ROLLBACK", Ends::RollsBack) };
        steps.push(Step { ends, ..simple(sql, Want::Anything) });
        for step in &mut steps {
            let long = random.one_in(20);
            let most = if long { Duration::from_secs(2) } else { Duration::from_millis(10) };
            step.pause = Some(random.time(most));
        }
        steps
    }

    fn setting(&mut self, random: &mut Random) -> Step {
        if random.one_in(3) {
            Step { who: Some(Who::Reset), ..simple("RESET app.who", Want::Anything) }
        } else {
            let sql = format!("SET app.who = '{}'", self.name);
            Step { who: Some(Who::Set), ..simple(&sql, Want::Anything) }
        }
    }

    fn copy(&mut self, random: &mut Random) -> Step {
        let lines: Vec<String> = (0..random.between(1, 6)).map(|_| self.identity()).collect();
        let mut copy: Vec<Vec<u8>> = Vec::new();
        for line in &lines {
            let mut bytes = Vec::new();
            push(&mut bytes, &Message::CopyData(format!("{line}\n").as_bytes()));
            copy.push(bytes);
        }
        copy.push(Vec::new());
        if let Some(last) = copy.last_mut() {
            frontend::push_copy_done(last);
        }
        Step { lines, copy, ..simple("COPY ledger FROM STDIN", Want::Anything) }
    }

    /// Keeps its server between a lock and its end.
    fn locked(&mut self, random: &mut Random) -> Vec<Step> {
        let lock = self.lock;
        let mut steps = vec![
            simple(&format!("SELECT pg_advisory_lock({lock})"), Want::Anything),
            self.statement(random),
            simple(
                &format!("SELECT pg_advisory_unlock({lock})"),
                Want::Rows(vec![vec![Some("t".into())]]),
            ),
        ];
        for step in &mut steps {
            step.pause = Some(random.time(Duration::from_millis(20)));
        }
        steps
    }
}

/// A statement that takes so long.
fn sleep(identity: String, millis: usize) -> Step {
    let sql = format!("SELECT '{identity}' FROM pg_sleep({}.{:03})", millis / 1000, millis % 1000);
    simple(&sql, Want::Rows(vec![vec![Some(identity)]]))
}

pub(crate) fn simple(sql: &str, want: Want) -> Step {
    let mut bytes = Vec::new();
    if !sql.is_empty() {
        frontend::push_query(&mut bytes, sql.as_bytes());
    }
    Step {
        bytes,
        words: sql.to_owned(),
        want,
        lines: Vec::new(),
        who: None,
        ends: Ends::Alone,
        prepares: None,
        copy: Vec::new(),
        pause: Some(Duration::ZERO),
    }
}

fn parse(bytes: &mut Vec<u8>, name: &str, text: &str) {
    let (name, text) = (name.as_bytes(), text.as_bytes());
    push(bytes, &Message::Parse { name, text, parameter_types: &[] });
}

fn push(bytes: &mut Vec<u8>, message: &Message<'_>) {
    message.encode(bytes).expect("names and texts here have no zero bytes");
}
