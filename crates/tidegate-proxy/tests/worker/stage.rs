//! A gate in a world in which nothing happens by itself: the test is its clients, its PostgreSQL,
//! its network, and its clock.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_config::Sources;
use tidegate_pool_core::server::Port;
use tidegate_proxy::played::{Play, PlayedGate};
use tidegate_proxy::resolver::Target;
use tidegate_proxy::world::{Arrivals, Event, Stream, World};
use tidegate_wire::backend::{self, TransactionStatus};
use tidegate_wire::startup::{self, ProtocolVersion};
use tidegate_wire::tick::Tick;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection of the gate's, as whoever is at its other end has it.
#[derive(Debug, Clone)]
pub(crate) struct Line(Arc<Mutex<Half>>);

#[derive(Debug)]
struct Half {
    to_gate: VecDeque<u8>,
    has_ended: bool,
    from_gate: Vec<u8>,
    /// How many bytes more are taken from the gate.
    room: usize,
    /// So many writes fail.
    failures: u32,
    has_shut: bool,
    is_closed: bool,
    watch: Option<(u16, usize)>,
    readable: bool,
    writable: bool,
}

impl Line {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Half {
            to_gate: VecDeque::new(),
            has_ended: false,
            from_gate: Vec::new(),
            room: usize::MAX,
            failures: 0,
            has_shut: false,
            is_closed: false,
            watch: None,
            readable: false,
            writable: true,
        })))
    }

    fn half(&self) -> MutexGuard<'_, Half> {
        lock(&self.0)
    }

    /// These bytes have arrived at the gate.
    pub(crate) fn say(&self, bytes: &[u8]) {
        let mut half = self.half();
        half.to_gate.extend(bytes);
        half.readable = true;
    }

    /// What the gate has written since the last call.
    pub(crate) fn hear(&self) -> Vec<u8> {
        std::mem::take(&mut self.half().from_gate)
    }

    /// The tags of the messages that the gate has written since the last call.
    pub(crate) fn hear_tags(&self) -> String {
        let heard = self.hear();
        let (mut rest, mut tags) = (&heard[..], String::new());
        while let Some((&[tag, a, b, c, d], _)) = rest.split_first_chunk() {
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            tags.push(char::from(tag));
            rest = rest.get(1 + length..).expect("whole messages");
        }
        assert!(rest.is_empty(), "whole messages");
        tags
    }

    /// From now on so many bytes are taken from the gate, and no more.
    pub(crate) fn set_room(&self, bytes: usize) {
        let mut half = self.half();
        half.room = bytes;
        half.writable = bytes > 0;
    }

    /// So many of the gate's next writes fail.
    pub(crate) fn fail(&self, failures: u32) {
        self.half().failures = failures;
    }

    /// The other end has ended its side.
    pub(crate) fn end(&self) {
        let mut half = self.half();
        half.has_ended = true;
        half.readable = true;
    }

    /// Whether the gate has closed it.
    pub(crate) fn is_closed(&self) -> bool {
        self.half().is_closed
    }

    /// Whether the gate has said that it writes no more.
    pub(crate) fn has_shut(&self) -> bool {
        self.half().has_shut
    }

    fn take_event(&self, worker: u16) -> Option<Event> {
        let mut half = self.half();
        let (_, token) = half.watch.filter(|(watcher, _)| *watcher == worker)?;
        let (readable, writable) = (half.readable, half.writable);
        (half.readable, half.writable) = (false, false);
        let closed = readable && half.has_ended;
        (readable || writable).then_some(Event { token, readable, writable, closed })
    }
}

/// The gate's end of a line.
#[derive(Debug)]
struct Wire(Line);

impl Drop for Wire {
    fn drop(&mut self) {
        self.0.half().is_closed = true;
    }
}

impl Stream for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut half = self.0.half();
        if half.to_gate.is_empty() {
            return if half.has_ended { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let bytes = buffer.len().min(half.to_gate.len());
        for (slot, byte) in buffer.iter_mut().zip(half.to_gate.drain(..bytes)) {
            *slot = byte;
        }
        Ok(bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut half = self.0.half();
        if half.failures > 0 {
            half.failures -= 1;
            return Err(ErrorKind::ConnectionReset.into());
        }
        let taken = bytes.len().min(half.room);
        if taken == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        if half.room < usize::MAX {
            half.room -= taken;
        }
        half.from_gate.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn shutdown_write(&mut self) {
        self.0.half().has_shut = true;
    }

    fn connected(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn watch(&mut self, worker: u16, token: usize) {
        self.0.half().watch = Some((worker, token));
    }

    fn unwatch(&mut self) {
        self.0.half().watch = None;
    }

    fn pass_to(&mut self, _process: usize) {}
}

#[derive(Debug)]
struct Made {
    now: Mutex<Tick>,
    servers: Mutex<Vec<Line>>,
    /// Where each of them is.
    targets: Mutex<Vec<Target>>,
}

impl World for Made {
    fn now(&self) -> Tick {
        *lock(&self.now)
    }

    fn connect(&self, target: &Target) -> io::Result<Box<dyn Stream>> {
        let line = Line::new();
        lock(&self.targets).push(target.clone());
        lock(&self.servers).push(line.clone());
        Ok(Box::new(Wire(line)))
    }
}

/// Where clients come to, one worker after another.
#[derive(Debug, Default)]
struct Door {
    coming: Mutex<VecDeque<Wire>>,
    watched: Mutex<Vec<(u16, usize)>>,
}

impl Arrivals for Door {
    fn accept(&self) -> io::Result<(Box<dyn Stream>, Option<SocketAddr>)> {
        let wire = lock(&self.coming).pop_front().ok_or(ErrorKind::WouldBlock)?;
        Ok((Box::new(wire), None))
    }

    fn watch(&self, worker: u16, token: usize) {
        lock(&self.watched).push((worker, token));
    }

    fn unwatch(&self, worker: u16) {
        lock(&self.watched).retain(|(watcher, _)| *watcher != worker);
    }
}

/// An address of the upstream.
pub(crate) fn target(number: u8) -> Target {
    let address = SocketAddr::from(([10, 0, 1, 1], 5430 + u16::from(number)));
    Target::Tcp { address, host: "db".into() }
}

/// A gate, and all that is around it.
pub(crate) struct Stage {
    pub(crate) gate: PlayedGate,
    world: Arc<Made>,
    door: Arc<Door>,
    /// Clients whose lines are looked at for events.
    clients: Vec<Line>,
    /// How many servers have been let in.
    logged_in: usize,
}

impl Stage {
    /// A gate with these settings beside those that a world without a kernel needs. Its clients are
    /// those of the transaction port.
    pub(crate) fn new(settings: &[(&str, &str)]) -> Self {
        let always = [
            ("upstream.url", "postgres://app@10.0.1.1:5432/app?sslmode=disable"),
            ("upstream.kind", "direct"),
            ("upstream.census", "off"),
            ("upstream.connections", "8"),
            ("upstream.headroom", "0"),
            ("plan", "custom"),
        ];
        let is_set = |name: &str| settings.iter().any(|(set, _)| *set == name);
        let defaults = always.iter().filter(|(name, _)| !is_set(name));
        let flags = defaults.chain(settings);
        let flags: Vec<_> =
            flags.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let loaded = tidegate_config::load(&Sources { flags: &flags, ..Sources::default() });
        let config = Arc::new(loaded.unwrap_or_else(|problems| panic!("{problems}")).config);
        let world = Arc::new(Made {
            now: Mutex::new(Tick::ZERO),
            servers: Mutex::default(),
            targets: Mutex::default(),
        });
        let door = Arc::new(Door::default());
        let gate = PlayedGate::new(Play {
            config,
            world: world.clone(),
            seed: 7,
            targets: vec![target(1)],
            arrivals: vec![(Port::Transaction, door.clone())],
        });
        let gate = gate.expect("the settings name nothing that could be missing");
        Self { gate, world, door, clients: Vec::new(), logged_in: 0 }
    }

    /// The servers that the gate has opened, in order.
    pub(crate) fn server(&self, nth: usize) -> Line {
        lock(&self.world.servers)[nth].clone()
    }

    /// Where it is: the number of its [`target`].
    pub(crate) fn target_of(&self, nth: usize) -> u8 {
        match &lock(&self.world.targets)[nth] {
            Target::Tcp { address, .. } => (address.port() - 5430) as u8,
            Target::Unix(path) => panic!("{}", path.display()),
        }
    }

    /// A worker's turn, with what has happened to what is its own. False when nothing has.
    pub(crate) fn turn(&mut self, worker: u16) -> bool {
        let servers = lock(&self.world.servers).clone();
        let lines = self.clients.iter().chain(&servers);
        let events: Vec<_> = lines.filter_map(|line| line.take_event(worker)).collect();
        let now = self.world.now();
        let is_due = self.gate.due(usize::from(worker)) <= now;
        if is_due || !events.is_empty() {
            self.gate.turn(usize::from(worker), &events);
        }
        self.let_servers_in();
        is_due || !events.is_empty()
    }

    /// All workers turn to what has happened until nothing happens any more.
    pub(crate) fn settle(&mut self) {
        for _ in 0..1000 {
            let workers = u16::try_from(self.gate.workers()).expect("few");
            let turned: Vec<_> = (0..workers).map(|worker| self.turn(worker)).collect();
            if !turned.contains(&true) {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// Time passes.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.world.now() + time;
        loop {
            self.settle();
            let dues = (0..self.gate.workers()).map(|worker| self.gate.due(worker));
            let next = dues.collect::<Vec<_>>().into_iter().min().unwrap_or(Tick::NEVER);
            *lock(&self.world.now) = next.min(until);
            if next > until {
                return;
            }
        }
    }

    /// A server that the gate opens is let in as soon as it has said who it is.
    fn let_servers_in(&mut self) {
        let servers = lock(&self.world.servers).clone();
        for server in &servers[self.logged_in..] {
            if server.hear().is_empty() {
                return;
            }
            self.logged_in += 1;
            let mut out = Vec::new();
            backend::push_auth_ok(&mut out);
            let parameters = [
                ("server_version", "18.0"),
                ("client_encoding", "UTF8"),
                ("standard_conforming_strings", "on"),
                ("in_hot_standby", "off"),
                ("default_transaction_read_only", "off"),
            ];
            for (name, value) in parameters {
                backend::push_parameter_status(&mut out, name.as_bytes(), value.as_bytes());
            }
            let pid = u32::try_from(self.logged_in).expect("few");
            backend::push_backend_key_data(&mut out, pid, &[1, 2, 3, 4]);
            backend::push_ready(&mut out, TransactionStatus::Idle);
            server.say(&out);
        }
    }

    /// Somebody connects, and is accepted by this worker.
    pub(crate) fn connect(&mut self, worker: u16) -> Line {
        let line = Line::new();
        lock(&self.door.coming).push_back(Wire(line.clone()));
        self.clients.push(line.clone());
        let watched = lock(&self.door.watched).clone();
        let token = watched.iter().find(|(watcher, _)| *watcher == worker);
        let (_, token) = *token.expect("the worker accepts");
        let event = Event { token, readable: true, writable: false, closed: false };
        self.gate.turn(usize::from(worker), &[event]);
        line
    }

    /// A client of this worker, logged in.
    pub(crate) fn client(&mut self, worker: u16) -> Client {
        let line = self.connect(worker);
        let mut packet = Vec::new();
        let parameters = [(&b"user"[..], &b"app"[..]), (b"database", b"app")];
        startup::push_startup(&mut packet, ProtocolVersion::V3_0, parameters)
            .expect("no zero bytes");
        line.say(&packet);
        self.settle();
        let told = line.hear();
        assert!(told.ends_with(b"Z\0\0\0\x05I"), "it is welcome");
        Client { line }
    }
}

/// A client that has logged in.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) line: Line,
}
