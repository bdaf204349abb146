//! A client: operations that follow from the seed, each of which knows what must be answered.

use tidegate_testkit::batch::{Batch, Format};
use tidegate_testkit::scene;

use crate::load::model::{Model, Setting, Transaction, Values, literal, who};
use crate::load::random::Random;
use crate::load::talk::{History, Lost, Outcome, SETTINGS, Step, Talk, Want};

/// Where a client connects, and what it finds there.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) seed: u64,
    pub(crate) session: u16,
    pub(crate) transaction: u16,
    /// Settings of whoever has set nothing.
    pub(crate) defaults: Values,
}

/// What clients have met with.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) answers: usize,
    pub(crate) connections: usize,
    pub(crate) cancelled: usize,
    /// Connections whose server was lost.
    pub(crate) lost: usize,
    /// Times that what was left in the session was removed, since too many clients had left
    /// something.
    pub(crate) refused: usize,
}

pub(crate) struct Client {
    place: Place,
    number: usize,
    who: String,
    port: u16,
    is_session: bool,
    talk: Option<Talk>,
    model: Model,
    /// What is to be sent next.
    steps: Vec<Step>,
    /// What a `DISCARD ALL` would remove is needed.
    keeps: bool,
    /// Settings were reset that the client had asked for when it connected. The gate sets them
    /// again when it has heard of the reset, so nothing may follow in the same breath. That is
    /// otherwise without a gate.
    has_reset: bool,
    pub(crate) history: History,
    pub(crate) counts: Counts,
}

/// Every so many clients one uses the session port: each holds a server as long as it is connected.
const SESSIONS: usize = 6;

impl Client {
    pub(crate) fn new(place: &Place, number: usize) -> Self {
        let is_session = number.is_multiple_of(SESSIONS);
        Self {
            port: if is_session { place.session } else { place.transaction },
            place: place.clone(),
            number,
            who: who(number),
            is_session,
            talk: None,
            model: Model::new(place.defaults.clone(), &place.defaults),
            steps: Vec::new(),
            keeps: false,
            has_reset: false,
            history: History::default(),
            counts: Counts::default(),
        }
    }

    /// The operation with this number.
    pub(crate) fn operate(&mut self, nth: u64) {
        let mut random = Random::of(self.place.seed, self.number, nth);
        if self.talk.is_none() {
            self.connect();
        }
        self.history.add(format!("operation {nth}"));
        let result = match random.below(100) {
            0..=65 => self.converse(&mut random),
            66..=69 => self.begin_only(&mut random),
            70..=77 => self.keep(&mut random),
            78..=84 => self.cancel(&mut random),
            85 | 86 => self.long_answer(&mut random),
            87 | 88 => self.copy_out(&mut random),
            89 => self.copy_in(&mut random),
            _ => self.leave(&mut random),
        };
        match result {
            Ok(()) => {}
            Err(Lost::Server) => {
                self.counts.lost += 1;
                self.talk = None;
            }
            Err(Lost::State) => {
                self.counts.refused += 1;
                self.talk = None;
            }
        }
        self.steps.clear();
        self.keeps = false;
        if self.is_session && random.one_in(2) {
            self.talk = None; // Others wait for its server.
        }
    }

    fn connect(&mut self) {
        let mut random = Random::of(self.place.seed, self.number, u64::MAX);
        let mut startup = self.place.defaults.clone();
        let mut parameters = Vec::new();
        let mut options = String::new();
        for setting in Setting::ALL {
            let value = setting.value(self.number, 9);
            if setting == Setting::Note || random.one_in(2) {
                continue;
            }
            if random.one_in(3) {
                let value = value.replace('\\', "\\\\").replace(' ', "\\ ");
                options.push_str(&format!("-c {}={value} ", setting.name()));
            } else {
                parameters.push((setting.name(), value.clone()));
            }
            startup.insert(setting, value);
        }
        parameters.push(("options", options));
        let parameters: Vec<_> =
            parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.history.add(format!("connects with {parameters:?}"));
        self.talk = Some(Talk::log_in(self.port, self.who.clone(), &parameters));
        self.model = Model::new(startup, &self.place.defaults);
        self.counts.connections += 1;
    }

    fn talk(&mut self) -> &mut Talk {
        self.talk.as_mut().expect("it is connected")
    }

    // --- Steps. ---

    fn push(&mut self, batch: Batch, words: String, want: Want) {
        let status = Some(self.model.status());
        self.steps.push(Step { batch, words, want, status });
    }

    fn simple(&mut self, sql: &str, want: Want) {
        self.push(Batch::new().query(sql), sql.into(), want);
    }

    /// A statement whose answer has no rows.
    fn run(&mut self, sql: &str, random: &mut Random) {
        if random.one_in(2) {
            self.simple(sql, Want::Rows(Vec::new()));
        } else {
            self.extended(sql, &[], Want::Rows(Vec::new()));
        }
    }

    fn extended(&mut self, sql: &str, values: &[&str], want: Want) {
        let bytes: Vec<_> = values.iter().map(|value| Some(value.as_bytes())).collect();
        let batch = Batch::new().extended(sql, &bytes, Format::Text).sync();
        self.push(batch, format!("[{sql}] {values:?}"), want);
    }

    /// Executes a statement with a name, and prepares it before where it is not yet, or is another.
    fn named(&mut self, name: &'static str, sql: &str, values: &[&str], want: Want) {
        let known = self.model.prepared.get(name).map(String::as_str);
        let mut batch = Batch::new();
        let mut words = format!("{name}: [{sql}] {values:?}");
        if known != Some(sql) {
            // Constants mean what they mean where they are parsed, and pin; so no such thing here.
            if self.model.has_local() {
                return self.extended(sql, values, want);
            }
            if known.is_some() {
                batch = batch.close_statement(name);
            }
            batch = batch.parse(name, sql);
            words.insert_str(0, "prepares ");
            self.model.prepared.insert(name, sql.into());
        }
        let bytes: Vec<_> = values.iter().map(|value| Some(value.as_bytes())).collect();
        let batch = batch.bind(name, &bytes, Format::Text).execute(0).sync();
        self.push(batch, words, want);
    }

    /// Sends what is to be sent and hears the answers.
    fn send(&mut self) -> Result<(), Lost> {
        self.say();
        self.hear().map(|_| ())
    }

    fn say(&mut self) {
        let talk = self.talk.as_mut().expect("it is connected");
        talk.send(&self.steps, &mut self.history);
    }

    /// The outcome of the last step.
    fn hear(&mut self) -> Result<Outcome, Lost> {
        let talk = self.talk.as_mut().expect("it is connected");
        let mut outcome = Outcome::AsWanted;
        self.has_reset = false;
        for step in std::mem::take(&mut self.steps) {
            outcome = talk.hear(&step, &mut self.history)?;
            self.counts.answers += 1;
        }
        Ok(outcome)
    }

    // --- Operations. ---

    /// Statements in and outside of transactions, in pipelines of any length.
    fn converse(&mut self, random: &mut Random) -> Result<(), Lost> {
        for _ in 0..1 + random.below(8) {
            self.say_something(random);
            if random.one_in(2) || self.has_reset {
                self.send()?;
            }
        }
        if self.model.transaction() != Transaction::None {
            self.say_end(random);
        }
        self.say_check(random);
        self.send()
    }

    /// A transaction without a statement, and its end.
    fn begin_only(&mut self, random: &mut Random) -> Result<(), Lost> {
        for _ in 0..1 + random.below(3) {
            self.say_begin(random);
            if random.one_in(2) {
                self.send()?;
            }
            self.say_end(random);
        }
        self.send()
    }

    /// Something that keeps the client at its server until it is removed.
    fn keep(&mut self, random: &mut Random) -> Result<(), Lost> {
        let number = self.number;
        let who = self.who.clone();
        let (make, uses, removes) = match random.below(3) {
            0 => (
                format!("CREATE TEMP TABLE mine AS SELECT '{who}' AS who"),
                ("SELECT who FROM mine".to_owned(), who.clone()),
                "DROP TABLE mine".to_owned(),
            ),
            1 => (
                format!("DO $$ BEGIN PERFORM pg_advisory_lock({number}); END $$"),
                (
                    "SELECT string_agg(objid::text, ',') FROM pg_locks \
                     WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
                        .to_owned(),
                    number.to_string(),
                ),
                format!("DO $$ BEGIN PERFORM pg_advisory_unlock({number}); END $$"),
            ),
            _ => (
                format!("LISTEN news_{who}"),
                (format!("SELECT '{who}' AS listens"), who.clone()),
                format!("UNLISTEN news_{who}"),
            ),
        };
        self.run(&make, random);
        self.send()?;
        // That it is one too many may be found out beside the first statement that follows.
        for _ in 0..2 {
            self.simple(&format!("SELECT '{who}'"), Want::RowsOrRefused(vec![who.clone()]));
            self.say();
            if self.hear()? == Outcome::Refused {
                self.counts.refused += 1;
                return Ok(());
            }
        }
        self.keeps = true;
        for _ in 0..random.below(3) {
            self.simple(&uses.0, Want::Rows(vec![uses.1.clone()]));
            self.converse(random)?;
        }
        if removes.starts_with("UNLISTEN") {
            self.talk().notified = 0;
            self.talk().has_missed = false;
            self.run(&format!("NOTIFY news_{who}, '{who}'"), random);
            self.send()?;
            // Whoever listens in its stead tells it, sooner or later, or that it may be lost.
            for _ in 0..TRIES_MAX {
                if self.talk().notified > 0 || self.talk().has_missed {
                    break;
                }
                self.simple(&format!("SELECT '{who}'"), Want::Rows(vec![who.clone()]));
                self.send()?;
            }
            let (notified, has_missed) = (self.talk().notified, self.talk().has_missed);
            assert!(notified == 1 || has_missed && notified == 0, "its own, {notified} times");
        }
        self.run(&removes, random);
        self.send()
    }

    /// A statement that is cancelled, perhaps too late; nothing else is.
    fn cancel(&mut self, random: &mut Random) -> Result<(), Lost> {
        if random.one_in(3) {
            self.say_begin(random);
        }
        if random.one_in(2) {
            self.say_set(random);
        }
        if random.one_in(2) || self.has_reset {
            self.send()?;
        }
        let milliseconds = 1 + random.below(40);
        let sql = format!("SELECT '{}' FROM pg_sleep(0.{milliseconds:03})", self.who);
        let is_named = random.one_in(2);
        let want = Want::RowsOrCancelled(vec![self.who.clone()]);
        if is_named {
            self.extended(&sql, &[], want)
        } else {
            self.simple(&sql, want)
        }
        // What goes before it in the same breath may be hit as well; a cancel is not that precise.
        let last = self.steps.split_off(self.steps.len() - 1);
        self.send()?;
        self.steps = last;
        if let Some(step) = self.steps.last_mut() {
            step.status = None;
        }
        self.say();
        let port = if random.one_in(2) { self.place.session } else { self.place.transaction };
        for _ in 0..1 + random.below(3) {
            let raw = &self.talk().raw;
            scene::cancel(port, raw.pid, &raw.secret);
            self.history.add("cancelled".into());
        }
        if self.hear()? == Outcome::Cancelled {
            self.counts.cancelled += 1;
            self.model.fail();
        }
        if self.model.transaction() != Transaction::None {
            self.say_end(random);
        }
        self.say_check(random);
        self.send()
    }

    fn copy_out(&mut self, random: &mut Random) -> Result<(), Lost> {
        let rows = 1 + random.below(300);
        let who = self.who.clone();
        let sql = format!("COPY (SELECT '{who}', g FROM generate_series(1, {rows}) g) TO STDOUT");
        let want = (1..=rows).map(|row| format!("{who}\t{row}")).collect();
        self.simple(&sql, Want::Rows(want));
        self.send()
    }

    /// Copies, looks at what has come, and takes it back.
    fn copy_in(&mut self, random: &mut Random) -> Result<(), Lost> {
        let rows = 1 + random.below(50);
        let who = self.who.clone();
        self.say_begin(random);
        let mut batch = Batch::new().query("COPY public.copied FROM STDIN");
        for row in 1..=rows {
            batch = batch.copy_data(format!("{who}\t{row}\n").as_bytes());
        }
        let fails = random.one_in(4);
        batch = if fails { batch.copy_fail("no more") } else { batch.copy_done() };
        if fails {
            self.model.fail();
            self.push(batch, format!("copies {rows} rows and fails"), Want::Error("57014"));
        } else {
            self.push(batch, format!("copies {rows} rows"), Want::Rows(Vec::new()));
            let sql = "SELECT min(who), max(who), count(*) FROM public.copied";
            self.simple(sql, Want::Rows(vec![format!("{who}|{who}|{rows}")]));
        }
        self.model.rollback();
        self.run("ROLLBACK", random);
        self.send()
    }

    fn long_answer(&mut self, random: &mut Random) -> Result<(), Lost> {
        let rows = 1 + random.below(300);
        let sql = format!("SELECT '{}', g FROM generate_series(1, {rows}) g", self.who);
        let want = (1..=rows).map(|row| format!("{}|{row}", self.who)).collect();
        self.extended(&sql, &[], Want::Rows(want));
        self.send()
    }

    /// Goes away, with or without a word, in the midst of anything.
    fn leave(&mut self, random: &mut Random) -> Result<(), Lost> {
        let who = self.who.clone();
        match random.below(8) {
            0 | 1 => {}
            2 => {
                self.say_begin(random);
                for _ in 0..random.below(4) {
                    self.say_something(random);
                    if self.has_reset {
                        self.send()?;
                    }
                }
                self.send()?;
            }
            3 => {
                let sql = format!("SELECT '{who}', g FROM generate_series(1, 20000) g");
                self.simple(&sql, Want::Rows(Vec::new()));
                self.say();
                if random.one_in(2) {
                    let _ = self.talk().raw.next();
                }
            }
            4 => {
                self.say_set(random);
                let steps = std::mem::take(&mut self.steps);
                let bytes = steps[0].batch.bytes();
                let part = &bytes[..random.below(bytes.len())];
                self.history.add(format!("{} bytes of {}", part.len(), steps[0].words));
                self.talk().raw.send(part);
            }
            5 => {
                self.simple(&format!("SELECT '{who}', pg_sleep(20)"), Want::Rows(Vec::new()));
                self.say();
            }
            6 => {
                self.simple(&format!("SELECT '{who}', pg_sleep(20)"), Want::Rows(Vec::new()));
                self.say();
                let port = self.port;
                let raw = &self.talk().raw;
                scene::cancel(port, raw.pid, &raw.secret);
            }
            _ => {
                self.say_set(random);
                self.run(&format!("CREATE TEMP TABLE mine AS SELECT '{who}' AS who"), random);
                self.run(&format!("LISTEN news_{who}"), random);
                let sql = format!("SELECT '{who}', pg_advisory_lock({})", self.number);
                self.simple(&sql, Want::Rows(vec![format!("{who}|")]));
                if random.one_in(2) {
                    self.send()?;
                } else {
                    self.say();
                }
            }
        }
        self.steps.clear();
        if let Some(talk) = self.talk.take() {
            let is_polite = random.one_in(2);
            self.history.add(format!("leaves, {}", if is_polite { "politely" } else { "at once" }));
            if is_polite {
                talk.raw.leave();
            }
        }
        Ok(())
    }

    // --- What is said in a conversation. ---

    fn say_something(&mut self, random: &mut Random) {
        match self.model.transaction() {
            Transaction::None => match random.below(12) {
                0 | 1 => self.say_begin(random),
                2 => self.say_lonely(random),
                3 => self.say_undone(random),
                _ => self.say_anywhere(random),
            },
            Transaction::Open => match random.below(12) {
                0 => self.say_end(random),
                1 | 2 => {
                    self.model.savepoint();
                    let name = self.model.savepoints();
                    self.run(&format!("SAVEPOINT s{name}"), random);
                }
                3 if self.model.savepoints() > 0 => self.say_rollback_to(random),
                4 if self.model.savepoints() > 0 => {
                    let name = self.model.savepoints();
                    self.model.release();
                    self.run(&format!("RELEASE s{name}"), random);
                }
                5 | 6 => self.say_set_local(random),
                _ => self.say_anywhere(random),
            },
            Transaction::Failed => match random.below(3) {
                0 if self.model.savepoints() > 0 => self.say_rollback_to(random),
                1 => self.simple(&format!("SELECT '{}'", self.who), Want::Error("25P02")),
                _ => self.say_end(random),
            },
        }
    }

    fn say_anywhere(&mut self, random: &mut Random) {
        match random.below(8) {
            0..=2 => self.say_select(random),
            3 | 4 => self.say_set(random),
            5 => self.say_check(random),
            6 => self.say_prepared(random),
            _ => self.say_failing(random),
        }
    }

    fn say_begin(&mut self, random: &mut Random) {
        self.model.begin();
        let begin = random.pick(&[
            "BEGIN",
            "begin;",
            "START TRANSACTION",
            "BEGIN ISOLATION LEVEL REPEATABLE READ",
            "BEGIN READ WRITE",
        ]);
        self.run(begin, random);
    }

    fn say_end(&mut self, random: &mut Random) {
        if random.one_in(4) {
            self.model.rollback();
            self.run("ROLLBACK", random);
        } else {
            self.model.commit();
            self.run("COMMIT", random);
        }
    }

    fn say_rollback_to(&mut self, random: &mut Random) {
        let name = self.model.savepoints();
        self.model.rollback_to();
        self.run(&format!("ROLLBACK TO s{name}"), random);
    }

    fn say_select(&mut self, random: &mut Random) {
        let number = random.below(1000).to_string();
        let who = self.who.clone();
        let want = Want::Rows(vec![format!("{who}|{number}")]);
        match random.below(4) {
            0 => self.simple(&format!("SELECT '{who}', {number}"), want),
            1 => self.extended("SELECT $1::text, $2::int", &[&who, &number], want),
            2 => {
                let sql = format!("SELECT '{who}'; SELECT {number}");
                self.simple(&sql, Want::Rows(vec![who, number]));
            }
            _ => {
                let sql = format!("SELECT $1::text, {number}");
                self.extended(&sql, &[&who], want);
            }
        }
    }

    fn say_prepared(&mut self, random: &mut Random) {
        let number = random.below(1000).to_string();
        let who = self.who.clone();
        match random.below(4) {
            0 => {
                let want = Want::Rows(vec![format!("{who}|{number}|shared")]);
                self.named("shared", "SELECT $1::text, $2::int, 'shared'", &[&who, &number], want);
            }
            1 => {
                // Another text under the same name for each client.
                let version = random.below(3);
                let sql = format!("SELECT $1::int, '{who}', {version}");
                let want = Want::Rows(vec![format!("{number}|{who}|{version}")]);
                self.named("own", &sql, &[&number], want);
            }
            2 => {
                let want = Want::Rows(vec![self.model.place().to_owned()]);
                self.named("place", "SELECT name FROM place", &[], want);
            }
            _ => {
                let want = Want::Rows(vec![self.model.midnight()]);
                let sql = "SELECT '2024-01-01 00:00:00+00'::timestamptz::text";
                self.named("midnight", sql, &[], want);
            }
        }
    }

    fn say_set(&mut self, random: &mut Random) {
        let setting = random.pick(&Setting::ALL);
        let value = setting.value(self.number, random.below(4));
        let (name, quoted) = (setting.name(), literal(&value));
        let row = Want::Rows(vec![value.clone()]);
        let mut way = random.below(12);
        let is_own = match way {
            8..=10 => self.model.is_own(setting),
            11 => Setting::ALL.into_iter().any(|setting| self.model.is_own(setting)),
            _ => false,
        };
        if is_own && self.is_session && way == 10 {
            way = 8; // Nothing is looked at there, so nobody sees that it is a reset.
        }
        if is_own && self.model.transaction() != Transaction::None {
            way = 0;
        } else {
            self.has_reset |= is_own;
        }
        match way {
            0..=7 => self.model.set(setting, &value),
            8..=10 => self.model.reset(setting),
            _ => self.model.reset_all(),
        }
        match way {
            0 | 1 => self.run(&format!("SET {}", setting.assignment(&value)), random),
            2 => self.simple(&format!("SELECT set_config('{name}', {quoted}, false)"), row),
            3 => {
                let sql = format!("SELECT set_config('{name}', $1, false)");
                self.extended(&sql, &[&value], row);
            }
            4 => {
                let sql = format!("DO $$ BEGIN SET {}; END $$", setting.assignment(&value));
                self.run(&sql, random);
            }
            5 => {
                let sql =
                    format!("DO $$ BEGIN PERFORM set_config('{name}', {quoted}, false); END $$");
                self.run(&sql, random);
            }
            6 if setting == Setting::Who => {
                self.named("setter", "SELECT set_config('app.who', $1, false)", &[&value], row);
            }
            // A function hides what it does; it is seen where PostgreSQL reports it.
            6 if matches!(setting, Setting::Zone | Setting::Application) => {
                let sql = format!("SELECT hidden_set('{name}', {quoted})");
                self.simple(&sql, row);
            }
            6 => self.run(&format!("SET SESSION {}", setting.assignment(&value)), random),
            7 => {
                let sql = format!(
                    "SET {}; SET {}",
                    setting.assignment(&setting.value(self.number, 7)),
                    setting.assignment(&value)
                );
                self.simple(&sql, Want::Rows(Vec::new()));
            }
            8 | 9 => self.run(&format!("RESET {name}"), random),
            10 => self.run(&format!("SET {name} TO DEFAULT"), random),
            _ => self.run("RESET ALL", random),
        }
    }

    fn say_set_local(&mut self, random: &mut Random) {
        let setting = random.pick(&Setting::ALL);
        let value = setting.value(self.number, random.below(4));
        let (name, quoted) = (setting.name(), literal(&value));
        self.model.set_local(setting, &value);
        match random.below(3) {
            0 => self.run(&format!("SET LOCAL {}", setting.assignment(&value)), random),
            1 => {
                let sql = format!("SELECT set_config('{name}', {quoted}, true)");
                self.simple(&sql, Want::Rows(vec![value]));
            }
            _ => {
                let sql = format!("SELECT set_config('{name}', $1, true)");
                self.extended(&sql, &[&value], Want::Rows(vec![value.clone()]));
            }
        }
    }

    /// What can't stand in a transaction, or concerns the session as a whole.
    fn say_lonely(&mut self, random: &mut Random) {
        if self.keeps || random.one_in(2) {
            self.model.prepared.clear();
            self.run("DEALLOCATE ALL", random);
        } else {
            self.model.discard_all();
            self.has_reset = true;
            self.simple("DISCARD ALL", Want::Rows(Vec::new()));
        }
    }

    /// A setting that is taken back with what fails beside it.
    fn say_undone(&mut self, random: &mut Random) {
        let setting = random.pick(&Setting::ALL);
        let value = setting.value(self.number, 8);
        let set = setting.assignment(&value);
        match random.below(3) {
            0 => self.simple(&format!("SET {set}; SELECT 1/0"), Want::Error("22012")),
            1 => {
                let batch = Batch::new()
                    .extended(&format!("SET {set}"), &[], Format::Text)
                    .extended("SELECT 1/0", &[], Format::Text)
                    .extended("SELECT 'never'", &[], Format::Text);
                let words = format!("[SET {set}][SELECT 1/0][...]");
                self.push(batch.sync(), words, Want::Error("22012"));
            }
            _ => {
                let sql = format!("BEGIN; SET {set}; ROLLBACK");
                self.simple(&sql, Want::Rows(Vec::new()));
            }
        }
    }

    fn say_failing(&mut self, random: &mut Random) {
        self.model.fail();
        let who = self.who.clone();
        match random.below(4) {
            0 => self.simple("SELECT 1/0", Want::Error("22012")),
            1 => self.extended("SELECT $1::text::int", &[&who], Want::Error("22P02")),
            2 => self.simple(&format!("SELEC '{who}'"), Want::Error("42601")),
            _ => {
                let batch = Batch::new().bind("none", &[], Format::Text).execute(0).sync();
                self.push(batch, "none".into(), Want::Error("26000"));
            }
        }
    }

    fn say_check(&mut self, random: &mut Random) {
        let want: Vec<_> =
            Setting::ALL.into_iter().map(|setting| self.model.value(setting).to_owned()).collect();
        let columns = SETTINGS.map(|name| format!("coalesce(current_setting('{name}', true), '')"));
        let sql = format!("SELECT {}", columns.join(", "));
        match random.below(3) {
            0 => self.simple(&sql, Want::Settings(want)),
            1 => self.extended(&sql, &[], Want::Settings(want)),
            _ => self.named("check", &sql, &[], Want::Settings(want)),
        }
    }
}

/// Statements between a notification and the last moment at which it may come: some ten seconds.
const TRIES_MAX: usize = 10_000;
