//! A model of PostgreSQL: as much of it as a pooler depends on. It counts its connections, speaks
//! the protocol, keeps the state of sessions and transactions, and enters what was committed into a
//! ledger.

mod backend;
mod session;
mod sql;

use std::collections::BTreeMap;

use tidegate_wire::backend::Severity;
use tidegate_wire::startup::{self, Packet, StartupFront};

use crate::net::{End, Net, Notice, Owner, postgres_address};
use crate::random::Random;
use backend::{Backend, Stage, push_error};
use session::Session;

/// What a server is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nobody listens.
    Down,
    /// It recovers: whoever connects is told so.
    Starting,
    /// It serves.
    Up,
}

/// What a server is among others that have the same data. Replication is synchronous: what one has
/// committed is not lost with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Role {
    /// It is in recovery, and only reads.
    pub is_standby: bool,
    /// Transactions only read unless they say otherwise: how a primary is retired that still runs.
    pub is_read_only: bool,
    /// It reports both, as PostgreSQL does from version 14 on.
    pub is_reported: bool,
    /// Whoever is at it must be able to write.
    pub must_write: bool,
}

impl Role {
    /// One that is alone.
    pub const ALONE: Self =
        Self { is_standby: false, is_read_only: false, is_reported: true, must_write: false };
}

/// A transaction that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// The client whose it is.
    pub client: String,
    /// The connection over which it came.
    pub end: End,
    /// Its client has left something in the session, and keeps it.
    pub is_pinned: bool,
}

/// A server.
pub struct Postgres {
    number: usize,
    /// What it is at.
    pub phase: Phase,
    max_connections: usize,
    role: Role,
    /// How many primaries there were before it, when it became one last.
    pub epoch: usize,
    backends: BTreeMap<u32, Backend>,
    by_end: BTreeMap<End, u32>,
    next_pid: u32,
    random: Random,
    /// What has been committed.
    pub ledger: Vec<String>,
    /// What has begun since somebody looked.
    pub begun: Vec<Begun>,
    /// What must not be.
    pub violations: Vec<String>,
}

impl Postgres {
    /// A server that serves.
    pub fn new(
        number: usize,
        max_connections: usize,
        role: Role,
        random: Random,
        net: &mut Net,
    ) -> Self {
        net.open(postgres_address(number), Owner::Postgres(number));
        Self {
            number,
            phase: Phase::Up,
            max_connections,
            role,
            epoch: 0,
            backends: BTreeMap::new(),
            by_end: BTreeMap::new(),
            next_pid: 1000 * (number as u32 + 1),
            random,
            ledger: Vec::new(),
            begun: Vec::new(),
            violations: Vec::new(),
        }
    }

    /// The backends that count.
    pub fn pids(&self) -> Vec<u32> {
        self.counted().map(|backend| backend.pid).collect()
    }

    /// What its backends are at, for whoever waits for them.
    pub fn standing(&self) -> String {
        self.counted().map(Backend::standing).collect::<Vec<_>>().join("; ")
    }

    fn counted(&self) -> impl Iterator<Item = &Backend> {
        self.backends.values().filter(|backend| backend.counts)
    }

    /// Something has happened to a connection.
    pub fn notice(&mut self, end: End, notice: Notice, net: &mut Net) {
        if notice == Notice::Connected {
            self.next_pid += 1;
            let backend = Backend::new(self.number, self.next_pid, end, self.random.fork());
            self.by_end.insert(end, self.next_pid);
            self.backends.insert(self.next_pid, backend);
        }
        let Some(pid) = self.by_end.get(&end).copied() else { return };
        let Some(backend) = self.backends.get_mut(&pid) else { return };
        match backend.stage {
            Stage::Starting => {
                let has_ended = net.read_all(end, &mut backend.input);
                if let Ok(StartupFront::Packet { packet_bytes }) = startup::front(&backend.input)
                    && backend.input.len() >= packet_bytes
                {
                    let rest = backend.input.split_off(packet_bytes);
                    let packet = std::mem::replace(&mut backend.input, rest);
                    self.begun(pid, &packet, net);
                } else if has_ended {
                    self.remove(pid, net);
                }
            }
            Stage::Serving => backend.notice(net),
            Stage::Cancelling | Stage::Ending => {}
        }
        self.collect();
    }

    /// The first packet has come.
    fn begun(&mut self, pid: u32, packet: &[u8], net: &mut Net) {
        let counted = self.counted().count();
        let Some(backend) = self.backends.get_mut(&pid) else { return };
        match startup::decode(packet) {
            Ok(Packet::Cancel { pid: other, secret }) => {
                backend.stage = Stage::Cancelling;
                let secret = secret.to_vec();
                if let Some(other) = self.backends.get_mut(&other)
                    && other.secret == *secret
                {
                    other.cancel(net);
                }
                if let Some(backend) = self.backends.get_mut(&pid) {
                    backend.leave(net);
                }
            }
            Ok(Packet::Startup(startup)) => {
                let refusal = match self.phase {
                    Phase::Up if counted < self.max_connections => None,
                    Phase::Up => {
                        self.violations.push(format!("a connection beyond {counted}"));
                        Some(("53300", "sorry, too many clients already"))
                    }
                    Phase::Starting => Some(("57P03", "the database system is starting up")),
                    Phase::Down => Some(("57P03", "the database system is shutting down")),
                };
                if let Some((code, message)) = refusal {
                    let mut words = Vec::new();
                    push_error(&mut words, Severity::Fatal, code, message);
                    // Whether it arrives or not, the connection ends.
                    let _ = net.write(backend.end, &words);
                    return self.remove(pid, net);
                }
                // How it looks for lost peers is none of what clients set.
                let own = ["user", "database", "replication", "options"];
                let is_own = |name: &str| own.contains(&name) || name.starts_with("tcp_");
                let settings = startup
                    .parameters()
                    .map(|(name, value)| {
                        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                        (text(name).to_lowercase(), text(value))
                    })
                    .filter(|(name, _)| !is_own(name) && !name.starts_with("_pq_"));
                let session = Session::new(settings.collect(), self.role);
                backend.welcome(session, net);
                backend.notice(net);
            }
            _ => {
                self.violations.push("a first packet that is none".into());
                self.remove(pid, net);
            }
        }
    }

    /// A piece of work is done.
    pub fn worked(&mut self, pid: u32, work: u64, net: &mut Net) {
        let Some(backend) = self.backends.get_mut(&pid) else { return };
        if backend.stage == Stage::Ending {
            if work == backend.work {
                self.remove(pid, net);
            }
        } else {
            backend.worked(work, net);
        }
        self.collect();
    }

    /// The process is no more.
    fn remove(&mut self, pid: u32, net: &mut Net) {
        self.collect();
        if let Some(backend) = self.backends.remove(&pid) {
            self.by_end.remove(&backend.end);
            net.close(backend.end);
        }
    }

    /// Enters what was committed.
    fn collect(&mut self) {
        for backend in self.backends.values_mut() {
            self.ledger.append(&mut backend.session.committed);
            let end = backend.end;
            let begun = backend.session.begun.drain(..);
            self.begun.extend(begun.map(|(client, is_pinned)| Begun { client, end, is_pinned }));
            self.violations.append(&mut backend.session.violations);
        }
    }

    // --- What goes wrong. ---

    /// A superuser ends some backend.
    pub fn terminate_one(&mut self, net: &mut Net) {
        let pids = self.pids();
        if pids.is_empty() {
            return;
        }
        let pid = self.random.pick(&pids);
        if let Some(backend) = self.backends.get_mut(&pid) {
            let words = "terminating connection due to administrator command";
            backend.die("57P01", words, net);
        }
        self.collect();
    }

    /// All backends end with a word to their clients, and nobody listens any more.
    pub fn shut_down(&mut self, net: &mut Net) {
        net.shut(postgres_address(self.number));
        self.phase = Phase::Down;
        let words = "terminating connection due to administrator command";
        for backend in self.backends.values_mut() {
            backend.die("57P01", words, net);
        }
        self.collect();
    }

    /// All backends are gone at once, without a word.
    pub fn crash(&mut self, net: &mut Net) {
        self.phase = Phase::Starting;
        self.collect();
        for (_, backend) in std::mem::take(&mut self.backends) {
            net.close(backend.end);
        }
        self.by_end.clear();
    }

    /// It is something else from now on, for all that are at it.
    pub fn set_role(&mut self, role: Role) {
        self.role = role;
        for backend in self.backends.values_mut() {
            backend.session.role = role;
        }
    }

    /// What it is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// It listens again, and recovers.
    pub fn start(&mut self, net: &mut Net) {
        net.open(postgres_address(self.number), Owner::Postgres(self.number));
        self.phase = Phase::Starting;
    }

    /// It serves.
    pub fn is_up(&mut self) {
        self.phase = Phase::Up;
    }
}
