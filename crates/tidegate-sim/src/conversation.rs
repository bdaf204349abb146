//! Conversations of one client with PostgreSQL, made up from a seed, in the words that applications and
//! gates have here. Who answers may be the model, or PostgreSQL itself: they must agree.

use std::time::Duration;

use tidegate_wire::frontend::{self, Message, Target};
use tidegate_wire::startup::{self, ProtocolVersion};

use crate::frames;
use crate::net::{Due, Net, Notice, Owner, Weather, postgres_address};
use crate::postgres::{Postgres, Role};
use crate::random::Random;

/// What a client says after its login, goodbye included, without waiting for answers.
pub fn conversation(random: &mut Random) -> Vec<u8> {
    let mut speaker = Speaker { random, serial: 0, out: Vec::new() };
    for _ in 0..speaker.random.between(3, 14) {
        speaker.speak();
    }
    frontend::push_sync(&mut speaker.out);
    frontend::push_terminate(&mut speaker.out);
    speaker.out
}

struct Speaker<'a> {
    random: &'a mut Random,
    serial: usize,
    out: Vec<u8>,
}

/// Few, so that they are used again, also before there is one or where there is one already.
const STATEMENTS: [&str; 3] = ["", "s1", "s2"];
const PORTALS: [&str; 3] = ["", "", "p1"];

impl Speaker<'_> {
    fn push(&mut self, message: &Message<'_>) {
        message.encode(&mut self.out).expect("names and texts here have no zero bytes");
    }

    fn query(&mut self, sql: &str) {
        self.push(&Message::Query(sql.as_bytes()));
    }

    fn identity(&mut self) -> String {
        self.serial += 1;
        format!("c1.{}", self.serial)
    }

    fn speak(&mut self) {
        match self.random.below(12) {
            0..5 => {
                let sql = self.statement();
                self.query(&sql);
            }
            5 => {
                let count = self.random.between(2, 4);
                let all: Vec<_> = (0..count).map(|_| self.statement()).collect();
                self.query(&all.join("; "));
            }
            6 => self.copy(),
            _ => self.batch(),
        }
    }

    fn statement(&mut self) -> String {
        let identity = self.identity();
        let key = self.random.between(1, 2);
        match self.random.below(25) {
            0 | 1 => format!("INSERT INTO ledger VALUES ('{identity}')"),
            2 => "SELECT 1/0".into(),
            3 => format!("SELECT '{identity}', current_setting('app.who', true)"),
            4 => {
                let end = self.random.below(4);
                format!("SELECT '{identity}', g FROM generate_series(1, {end}) g")
            }
            5 => format!("SELECT '{identity}' FROM pg_sleep(0.001)"),
            6..9 => "BEGIN".into(),
            9 | 10 => "COMMIT".into(),
            11 => "ROLLBACK".into(),
            12 => "SET app.who = 'c1'".into(),
            13 => "RESET app.who".into(),
            14 => format!("SET application_name TO 'n{key}'"),
            15 => "RESET ALL".into(),
            16 => format!("SELECT pg_advisory_lock({key})"),
            17 => format!("SELECT pg_advisory_unlock({key})"),
            18 => "SELECT pg_catalog.pg_advisory_unlock_all()".into(),
            19 => "DEALLOCATE ALL".into(),
            20 => "DISCARD ALL".into(),
            21 => "UNLISTEN *".into(),
            22 => "CLOSE ALL".into(),
            23 => String::new(),
            _ => "SET LOCAL app.who = 'c1'".into(),
        }
    }

    /// What comes of a statement that may have a parameter, and how many it has.
    fn preparable(&mut self) -> (String, usize) {
        match self.random.below(4) {
            0 => ("INSERT INTO ledger VALUES ($1)".into(), 1),
            1 => ("SELECT $1::text, current_setting('app.who', true)".into(), 1),
            _ => (self.statement(), 0),
        }
    }

    fn copy(&mut self) {
        self.query("COPY ledger FROM STDIN");
        for _ in 0..self.random.below(3) {
            let line = format!("{}\n", self.identity());
            self.push(&Message::CopyData(line.as_bytes()));
        }
        if self.random.one_in(4) {
            self.push(&Message::CopyFail(b"no more"));
        } else {
            self.push(&Message::CopyDone);
        }
    }

    /// Messages of the extended protocol up to a Sync: mostly in order, sometimes not.
    fn batch(&mut self) {
        for _ in 0..self.random.between(1, 3) {
            if self.random.one_in(5) {
                self.stray();
                continue;
            }
            let statement = self.random.pick(&STATEMENTS);
            let portal = self.random.pick(&PORTALS);
            let (sql, parameters) = self.preparable();
            let (name, text) = (statement.as_bytes(), sql.as_bytes());
            self.push(&Message::Parse { name, text, parameter_types: &[] });
            if self.random.one_in(3) {
                self.push(&Message::Describe { target: Target::Statement, name });
            }
            // Now and then too many.
            let given = if self.random.one_in(12) { parameters + 1 } else { parameters };
            self.bind(portal, statement, given);
            if self.random.one_in(2) {
                let name = portal.as_bytes();
                self.push(&Message::Describe { target: Target::Portal, name });
            }
            let rows_max = self.random.pick(&[0, 0, 0, 1, 2, 3]);
            self.push(&Message::Execute { portal: portal.as_bytes(), rows_max });
            if self.random.one_in(4) {
                frontend::push_flush(&mut self.out);
            }
        }
        frontend::push_sync(&mut self.out);
    }

    fn bind(&mut self, portal: &str, statement: &str, count: usize) {
        let mut rest = vec![0, 0, 0, count as u8];
        for _ in 0..count {
            let value = self.identity();
            rest.extend((value.len() as u32).to_be_bytes());
            rest.extend(value.as_bytes());
        }
        rest.extend([0, 0]);
        let (portal, statement) = (portal.as_bytes(), statement.as_bytes());
        self.push(&Message::Bind { portal, statement, rest: &rest });
    }

    /// A message that may not fit what is there.
    fn stray(&mut self) {
        let statement = self.random.pick(&STATEMENTS);
        // Not the one without a name: after a query that has failed within a transaction PostgreSQL 15
        // still has the portal that it ran in, and looks for its statement in freed memory; it crashes.
        let portal = b"p1".as_slice();
        let name = statement.as_bytes();
        match self.random.below(6) {
            0 => self.push(&Message::Describe { target: Target::Statement, name }),
            1 => self.push(&Message::Describe { target: Target::Portal, name: portal }),
            2 => {
                let rows_max = self.random.pick(&[0, 1, 2]);
                self.push(&Message::Execute { portal, rows_max });
            }
            3 => self.push(&Message::Close { target: Target::Statement, name }),
            4 => self.push(&Message::Close { target: Target::Portal, name: portal }),
            _ => self.bind("", statement, 0),
        }
    }
}

/// What the model says to a client, by tags and bodies, from its login to its end.
///
/// # Errors
/// What the model does not know, or can't be.
pub fn answers_of_model(seed: u64, conversation: &[u8]) -> Result<Vec<(u8, Vec<u8>)>, String> {
    let weather = Weather { delay_max: Duration::from_micros(50), room: (65_536, 300_000) };
    let mut net = Net::new(seed, weather);
    let mut postgres = Postgres::new(0, 1, Role::ALONE, Random::new(seed), &mut net);
    let end = net.connect(Owner::Application(0), postgres_address(0));
    let mut output = Vec::new();
    let login = [("user", "app"), ("database", "app")];
    let pairs = login.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    startup::push_startup(&mut output, ProtocolVersion::V3_0, pairs).expect("no zero bytes");
    output.extend_from_slice(conversation);
    let mut input = Vec::new();
    let mut has_ended = false;
    while let Some(due) = net.next_due() {
        net.set_now(due);
        if let Some(Due::Backend { pid, work, .. }) = net.take_due() {
            postgres.worked(pid, work, &mut net);
        }
        while let Some((owner, at, notice)) = net.take_notice() {
            if owner == Owner::Postgres(0) {
                postgres.notice(at, notice, &mut net);
            } else if notice == Notice::Readable {
                has_ended |= net.read_all(end, &mut input);
            } else if let Ok(taken) = net.write(end, &output) {
                output.drain(..taken);
            }
        }
        if has_ended {
            net.close(end);
        }
    }
    if let Some(words) = postgres.violations.first() {
        return Err(words.clone());
    }
    Ok(std::iter::from_fn(|| frames::take_first(&mut input)).collect())
}
