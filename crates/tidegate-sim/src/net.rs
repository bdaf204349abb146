//! The network: connections whose bytes take their time, arrive in pieces, and sometimes not at all.
//!
//! As TCP it keeps the order of what is sent over one connection, and nothing else. A connection's
//! two ends belong to a gate, an application, or a PostgreSQL server; what happens at a gate's end
//! becomes an event of the worker that watches it, at the others a call.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_pool_core::server::Port;
use tidegate_proxy::resolver::Target;
use tidegate_proxy::world::{Arrivals, Event, Stream, World};
use tidegate_wire::tick::Tick;

use crate::random::Random;

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct End {
    /// The connection.
    pub link: usize,
    /// 0 for whoever connected, 1 for whoever was connected to.
    pub side: usize,
}

impl End {
    fn peer(self) -> Self {
        Self { link: self.link, side: 1 - self.side }
    }
}

/// Whose an end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// An application, or its cancel request.
    Application(usize),
    /// A gate.
    Gate(usize),
    /// A PostgreSQL server.
    Postgres(usize),
}

/// What is due at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// An application goes on.
    Application(usize),
    /// A backend has done a piece of work.
    Backend {
        /// The server.
        postgres: usize,
        /// The backend.
        pid: u32,
        /// Which piece of work.
        work: u64,
    },
    /// A connection is made, or refused.
    Connect(usize),
    /// The kernel at this end gives up on a peer from which nothing comes.
    GiveUp(End),
    /// Something goes wrong, or goes on.
    Plot(usize),
    /// The first bytes on their way to this end arrive.
    Segment(End),
}

/// What an end of a connection notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// It is connected.
    Connected,
    /// There is something to read: bytes, the end, or that the connection is broken.
    Readable,
    /// Nobody listens.
    Refused,
    /// There is room again.
    Writable,
}

#[derive(Debug, PartialEq, Eq)]
enum Cargo {
    Bytes(Vec<u8>),
    Fin,
    Reset,
}

#[derive(Debug)]
struct Half {
    owner: Owner,
    /// The worker that watches it, and with what token.
    watch: Option<(u16, usize)>,
    /// On the way to this end, in order.
    coming: VecDeque<(Tick, Cargo)>,
    coming_bytes: usize,
    /// Has arrived and was not read.
    inbox: VecDeque<u8>,
    has_fin: bool,
    broken: Option<io::ErrorKind>,
    /// It wants to write and can't.
    is_blocked: bool,
    has_shut: bool,
    is_closed: bool,
}

impl Half {
    fn new(owner: Owner) -> Self {
        Self {
            owner,
            watch: None,
            coming: VecDeque::new(),
            coming_bytes: 0,
            inbox: VecDeque::new(),
            has_fin: false,
            broken: None,
            is_blocked: false,
            has_shut: false,
            is_closed: false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Connecting,
    Up,
    /// Nothing arrives any more, at either end.
    Cut,
}

#[derive(Debug)]
struct Link {
    halves: [Half; 2],
    standing: Standing,
    /// How much fits between a writer and its reader.
    room: usize,
    delay_max: Duration,
    /// Where it was made to.
    to: SocketAddr,
}

/// Who takes connections at an address.
#[derive(Debug, Default)]
struct Door {
    owner: Option<Owner>,
    /// Gates that listen there; several, while one takes over from another.
    gates: BTreeSet<usize>,
    /// Made and not accepted yet; for gates.
    waiting: VecDeque<usize>,
    /// By gate and worker.
    watchers: BTreeMap<(usize, u16), usize>,
}

/// How bad the network is.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// The longest that a piece takes, mostly.
    pub delay_max: Duration,
    /// The least and the most that fits between a writer and its reader.
    pub room: (usize, usize),
}

/// Everything that moves.
#[derive(Debug)]
pub struct Net {
    now: Tick,
    random: Random,
    serial: u64,
    due: BTreeMap<(Tick, u64), Due>,
    links: Vec<Link>,
    doors: BTreeMap<SocketAddr, Door>,
    /// Where nobody answers, not even with a refusal.
    dark: BTreeSet<SocketAddr>,
    /// By gate and worker: the ends at which something has happened.
    edges: BTreeMap<(usize, u16), BTreeSet<(usize, EdgeOf)>>,
    /// For ends that no gate has.
    notices: VecDeque<(Owner, End, Notice)>,
    weather: Weather,
    /// A digest of all that has happened.
    history: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum EdgeOf {
    Door,
    End(End),
}

/// A peer that says nothing is given up after this time where something waits to be taken:
/// `TCP_USER_TIMEOUT` as the gate sets it.
const UNTAKEN_MAX: Duration = Duration::from_secs(60);

impl Net {
    /// An empty network.
    pub fn new(seed: u64, weather: Weather) -> Self {
        Self {
            now: Tick::ZERO,
            random: Random::new(seed),
            serial: 0,
            due: BTreeMap::new(),
            links: Vec::new(),
            doors: BTreeMap::new(),
            dark: BTreeSet::new(),
            edges: BTreeMap::new(),
            notices: VecDeque::new(),
            weather,
            history: 0xcbf2_9ce4_8422_2325,
        }
    }

    /// What time it is.
    pub fn now(&self) -> Tick {
        self.now
    }

    /// It is later now.
    pub fn set_now(&mut self, now: Tick) {
        self.now = self.now.max(now);
    }

    /// Takes something into the digest of all that has happened.
    pub fn note(&mut self, bytes: &[u8]) {
        // FNV-1a: the order counts, and nothing has to be secret.
        for byte in bytes.iter().chain(&self.now.as_nanos().to_le_bytes()) {
            self.history = (self.history ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// The digest of all that has happened.
    pub fn history(&self) -> u64 {
        self.history
    }

    /// Something is due after a time.
    pub fn after(&mut self, delay: Duration, due: Due) {
        self.at(self.now + delay, due);
    }

    fn at(&mut self, when: Tick, due: Due) {
        self.serial += 1;
        self.due.insert((when, self.serial), due);
    }

    /// When something is due next.
    pub fn next_due(&self) -> Option<Tick> {
        self.due.first_key_value().map(|((when, _), _)| *when)
    }

    /// Takes what is due now. What the network itself does is done.
    pub fn take_due(&mut self) -> Option<Due> {
        let ((when, _), _) = self.due.first_key_value()?;
        if *when > self.now {
            return None;
        }
        let (_, due) = self.due.pop_first()?;
        match &due {
            Due::Connect(link) => self.connect_due(*link),
            Due::GiveUp(end) => self.give_up(*end),
            Due::Segment(end) => self.segment_due(*end),
            Due::Application(_) | Due::Backend { .. } | Due::Plot(_) => {}
        }
        Some(due)
    }

    /// What an end of no gate has noticed.
    pub fn take_notice(&mut self) -> Option<(Owner, End, Notice)> {
        self.notices.pop_front()
    }

    // --- Who is where. ---

    /// Somebody takes connections at an address.
    pub fn open(&mut self, address: SocketAddr, owner: Owner) {
        self.doors.entry(address).or_default().owner = Some(owner);
    }

    /// Nobody does any more.
    pub fn shut(&mut self, address: SocketAddr) {
        self.doors.entry(address).or_default().owner = None;
    }

    /// What goes there gets lost from now on, and whoever connects is not even refused.
    pub fn darken(&mut self, address: SocketAddr) {
        self.dark.insert(address);
        let to_there: Vec<_> =
            (0..self.links.len()).filter(|link| self.links[*link].to == address).collect();
        to_there.into_iter().for_each(|link| self.cut(link));
    }

    /// It can be reached again. What was lost is lost.
    pub fn lighten(&mut self, address: SocketAddr) {
        self.dark.remove(&address);
    }

    /// The weather changes, for connections that are made from now on.
    pub fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    // --- Connections. ---

    /// Begins to connect.
    pub fn connect(&mut self, owner: Owner, to: SocketAddr) -> End {
        let link = self.links.len();
        let (least, most) = self.weather.room;
        let room = self.random.between(least, most);
        let delay_max = self.weather.delay_max;
        self.links.push(Link {
            halves: [Half::new(owner), Half::new(owner)],
            standing: Standing::Connecting,
            room,
            delay_max,
            to,
        });
        let delay = self.random.time(delay_max);
        self.after(delay, Due::Connect(link));
        End { link, side: 0 }
    }

    fn connect_due(&mut self, link: usize) {
        let to = self.links[link].to;
        if self.links[link].standing != Standing::Connecting || self.dark.contains(&to) {
            return;
        }
        let end = End { link, side: 0 };
        let door = self.doors.entry(to).or_default();
        // Whoever accepts it has it.
        let gate = door.gates.first().map(|gate| Owner::Gate(*gate));
        let Some(owner) = door.owner.or(gate) else {
            self.half(end).broken = Some(io::ErrorKind::ConnectionRefused);
            return self.notice(end, Notice::Refused);
        };
        if gate.is_some() {
            door.waiting.push_back(link);
            for (worker, token) in &door.watchers {
                self.edges.entry(*worker).or_default().insert((*token, EdgeOf::Door));
            }
        }
        self.links[link].halves[1].owner = owner;
        self.links[link].standing = Standing::Up;
        self.notice(end, Notice::Connected);
        self.notice(end.peer(), Notice::Connected);
    }

    fn half(&mut self, end: End) -> &mut Half {
        &mut self.links[end.link].halves[end.side]
    }

    fn notice(&mut self, end: End, notice: Notice) {
        let half = self.half(end);
        match half.owner {
            Owner::Gate(gate) => {
                if let Some((worker, token)) = half.watch {
                    self.edges.entry((gate, worker)).or_default().insert((token, EdgeOf::End(end)));
                }
            }
            owner => self.notices.push_back((owner, end, notice)),
        }
    }

    /// Whose the other end of a connection is.
    pub fn peer_of(&self, end: End) -> Owner {
        self.links[end.link].halves[end.peer().side].owner
    }

    /// Whether the connection was made and still stands.
    pub fn is_connected(&self, end: End) -> bool {
        self.links[end.link].standing != Standing::Connecting
    }

    /// Writes the first of these bytes; says how many.
    ///
    /// # Errors
    /// The connection is broken; or there is no room now.
    pub fn write(&mut self, end: End, bytes: &[u8]) -> io::Result<usize> {
        if self.links[end.link].standing == Standing::Connecting {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let half = self.half(end);
        if let Some(kind) = half.broken {
            return Err(kind.into());
        }
        if half.has_shut {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = self.room(end);
        let taken = room.min(bytes.len());
        if taken == 0 && !bytes.is_empty() {
            self.half(end).is_blocked = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if taken < bytes.len() {
            self.half(end).is_blocked = true;
        }
        let mut rest = &bytes[..taken];
        while !rest.is_empty() {
            let most = rest.len();
            // Mostly whole, sometimes in pieces of any size: also within a header.
            let size = if self.random.one_in(4) { self.random.between(1, most) } else { most };
            let (piece, after) = rest.split_at(size);
            self.send(end.peer(), Cargo::Bytes(piece.to_vec()));
            rest = after;
        }
        if self.links[end.link].standing == Standing::Cut {
            self.after(UNTAKEN_MAX, Due::GiveUp(end));
        }
        Ok(taken)
    }

    fn room(&mut self, end: End) -> usize {
        let room = self.links[end.link].room;
        let peer = self.half(end.peer());
        room.saturating_sub(peer.coming_bytes + peer.inbox.len())
    }

    fn send(&mut self, to: End, cargo: Cargo) {
        let delay = self.random.time(self.links[to.link].delay_max);
        let when = self.now + delay;
        let half = self.half(to);
        let when = half.coming.back().map_or(when, |(last, _)| when.max(*last));
        if let Cargo::Bytes(bytes) = &cargo {
            half.coming_bytes += bytes.len();
        }
        half.coming.push_back((when, cargo));
        self.at(when, Due::Segment(to));
    }

    fn segment_due(&mut self, end: End) {
        let now = self.now;
        if self.links[end.link].standing == Standing::Cut {
            return;
        }
        let half = self.half(end);
        if half.coming.front().is_none_or(|(when, _)| *when > now) {
            return;
        }
        let Some((_, cargo)) = half.coming.pop_front() else { return };
        match cargo {
            Cargo::Bytes(bytes) => {
                half.coming_bytes -= bytes.len();
                if half.is_closed || half.broken.is_some() {
                    // Nobody is there to read it: the kernel answers with a reset.
                    return self.send(end.peer(), Cargo::Reset);
                }
                half.inbox.extend(&bytes);
                self.note(&bytes);
            }
            Cargo::Fin => half.has_fin = true,
            Cargo::Reset => {
                half.broken = Some(io::ErrorKind::ConnectionReset);
                half.coming.clear();
                half.coming_bytes = 0;
            }
        }
        self.notice(end, Notice::Readable);
    }

    /// Reads what has arrived; 0 at the end.
    ///
    /// # Errors
    /// The connection is broken; or there is nothing now.
    pub fn read(&mut self, end: End, buffer: &mut [u8]) -> io::Result<usize> {
        if self.links[end.link].standing == Standing::Connecting {
            let kind = self.half(end).broken.unwrap_or(io::ErrorKind::WouldBlock);
            return Err(kind.into());
        }
        let half = self.half(end);
        let taken = half.inbox.len().min(buffer.len());
        if taken == 0 {
            if let Some(kind) = half.broken {
                return Err(kind.into());
            }
            return if half.has_fin { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        for (place, byte) in buffer.iter_mut().zip(half.inbox.drain(..taken)) {
            *place = byte;
        }
        let peer = self.half(end.peer());
        if std::mem::take(&mut peer.is_blocked) {
            self.notice(end.peer(), Notice::Writable);
        }
        Ok(taken)
    }

    /// Reads all that has arrived. True when nothing follows: the peer has ended, or it is broken.
    pub fn read_all(&mut self, end: End, into: &mut Vec<u8>) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match self.read(end, &mut buffer) {
                Ok(0) => return true,
                Ok(bytes) => into.extend_from_slice(&buffer[..bytes]),
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }

    /// Says that nothing more is written.
    pub fn shut_down(&mut self, end: End) {
        if std::mem::replace(&mut self.half(end).has_shut, true) {
            return;
        }
        if self.is_connected(end) {
            self.send(end.peer(), Cargo::Fin);
        }
    }

    /// The process at this end has closed it, or is gone.
    pub fn close(&mut self, end: End) {
        let half = self.half(end);
        if std::mem::replace(&mut half.is_closed, true) {
            return;
        }
        half.watch = None;
        let was_unread = !half.inbox.is_empty();
        half.inbox.clear();
        match self.links[end.link].standing {
            // The connect comes to nothing, or the peer finds nobody.
            Standing::Connecting => self.links[end.link].standing = Standing::Cut,
            _ if was_unread => self.send(end.peer(), Cargo::Reset),
            _ => self.shut_down(end),
        }
    }

    /// Somebody on the way resets the connection.
    pub fn reset(&mut self, link: usize) {
        for side in [0, 1] {
            self.send(End { link, side }, Cargo::Reset);
        }
    }

    /// Nothing arrives any more, and nobody is told.
    pub fn cut(&mut self, link: usize) {
        if self.links[link].standing != Standing::Up {
            return;
        }
        self.links[link].standing = Standing::Cut;
        for side in [0, 1] {
            let end = End { link, side };
            let has_sent = !self.half(end.peer()).coming.is_empty();
            // Keepalives find out where nothing was sent: a minute idle and three probes.
            let patience = if has_sent { UNTAKEN_MAX } else { 2 * UNTAKEN_MAX };
            self.after(patience, Due::GiveUp(end));
        }
    }

    fn give_up(&mut self, end: End) {
        let half = self.half(end);
        if half.is_closed || half.broken.is_some() {
            return;
        }
        half.broken = Some(io::ErrorKind::TimedOut);
        self.notice(end, Notice::Readable);
    }

    /// The connections between two kinds of owners that stand, oldest first.
    pub fn links_between(
        &self,
        is_one: impl Fn(Owner) -> bool,
        is_other: impl Fn(Owner) -> bool,
    ) -> Vec<usize> {
        let stands = |link: &&Link| {
            link.standing == Standing::Up
                && link.halves.iter().all(|half| !half.is_closed && half.broken.is_none())
        };
        let numbered = self.links.iter().enumerate();
        let those = numbered.filter(|(_, link)| {
            stands(link) && is_one(link.halves[0].owner) && is_other(link.halves[1].owner)
        });
        those.map(|(number, _)| number).collect()
    }

    // --- Gates. ---

    /// The workers to which something has happened.
    pub fn alarmed(&self) -> impl Iterator<Item = (usize, u16)> + use<'_> {
        self.edges.iter().filter(|(_, edges)| !edges.is_empty()).map(|(worker, _)| *worker)
    }

    /// What has happened to a worker, in any order.
    pub fn take_events(&mut self, gate: usize, worker: u16) -> Vec<Event> {
        let edges = self.edges.remove(&(gate, worker)).unwrap_or_default();
        let mut events = Vec::new();
        for (token, edge) in edges {
            let event = match edge {
                EdgeOf::Door => Event { token, readable: true, writable: false, closed: false },
                EdgeOf::End(end) => {
                    let is_up = self.is_connected(end);
                    let half = self.half(end);
                    if half.watch != Some((worker, token)) {
                        continue;
                    }
                    let closed = half.has_fin || half.broken.is_some();
                    let readable = closed || !half.inbox.is_empty();
                    let is_broken = half.broken.is_some();
                    let writable = is_broken || is_up && self.room(end) > 0;
                    Event { token, readable, writable, closed }
                }
            };
            events.push(event);
        }
        for place in (1..events.len()).rev() {
            let other = self.random.below(place + 1);
            events.swap(place, other);
        }
        events
    }
}

/// The network, for all that are in it.
#[derive(Debug, Clone)]
pub struct SharedNet(Arc<Mutex<Net>>);

impl SharedNet {
    /// Shares it.
    pub fn new(net: Net) -> Self {
        Self(Arc::new(Mutex::new(net)))
    }

    /// Nobody holds it across anything that needs it.
    pub fn get(&self) -> MutexGuard<'_, Net> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The world as one gate sees it.
#[derive(Debug)]
pub struct GateWorld {
    /// The network.
    pub net: SharedNet,
    /// Which gate.
    pub gate: usize,
}

impl World for GateWorld {
    fn now(&self) -> Tick {
        self.net.get().now()
    }

    fn connect(&self, target: &Target) -> io::Result<Box<dyn Stream>> {
        let Target::Tcp { address, .. } = target else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let end = self.net.get().connect(Owner::Gate(self.gate), *address);
        Ok(Box::new(GateStream { net: self.net.clone(), end }))
    }
}

#[derive(Debug)]
struct GateStream {
    net: SharedNet,
    end: End,
}

impl Stream for GateStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.net.get().read(self.end, buffer)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.net.get().write(self.end, bytes)
    }

    fn shutdown_write(&mut self) {
        self.net.get().shut_down(self.end);
    }

    fn connected(&self) -> io::Result<bool> {
        let mut net = self.net.get();
        match net.half(self.end).broken {
            Some(kind) => Err(kind.into()),
            None => Ok(net.is_connected(self.end)),
        }
    }

    fn watch(&mut self, worker: u16, token: usize) {
        let mut net = self.net.get();
        net.half(self.end).watch = Some((worker, token));
        if net.is_connected(self.end) {
            net.notice(self.end, Notice::Readable);
        }
    }

    fn unwatch(&mut self) {
        self.net.get().half(self.end).watch = None;
    }

    fn pass_to(&mut self, process: usize) {
        self.net.get().half(self.end).owner = Owner::Gate(process);
    }
}

impl Drop for GateStream {
    fn drop(&mut self) {
        self.net.get().close(self.end);
    }
}

/// Where a gate's clients come to. Those who have come and were not accepted are refused when the last
/// gate that listens there does so no more.
#[derive(Debug)]
pub struct GateDoor {
    net: SharedNet,
    gate: usize,
    address: SocketAddr,
}

impl GateDoor {
    /// The door of a gate at an address.
    pub fn open(net: SharedNet, gate: usize, address: SocketAddr) -> Self {
        net.get().doors.entry(address).or_default().gates.insert(gate);
        Self { net, gate, address }
    }
}

impl Drop for GateDoor {
    fn drop(&mut self) {
        let mut net = self.net.get();
        let door = net.doors.entry(self.address).or_default();
        door.gates.remove(&self.gate);
        if door.gates.is_empty() {
            for link in std::mem::take(&mut door.waiting) {
                net.close(End { link, side: 1 });
                net.send(End { link, side: 0 }, Cargo::Reset);
            }
        }
    }
}

impl Arrivals for GateDoor {
    fn accept(&self) -> io::Result<(Box<dyn Stream>, Option<SocketAddr>)> {
        let mut net = self.net.get();
        let link = net.doors.entry(self.address).or_default().waiting.pop_front();
        let link = link.ok_or(io::ErrorKind::WouldBlock)?;
        let end = End { link, side: 1 };
        net.half(end).owner = Owner::Gate(self.gate);
        drop(net);
        let stream = GateStream { net: self.net.clone(), end };
        Ok((Box::new(stream), Some(SocketAddr::from(([10, 0, 2, 1], 1)))))
    }

    fn watch(&self, worker: u16, token: usize) {
        let mut net = self.net.get();
        let door = net.doors.entry(self.address).or_default();
        door.watchers.insert((self.gate, worker), token);
        if !door.waiting.is_empty() {
            net.edges.entry((self.gate, worker)).or_default().insert((token, EdgeOf::Door));
        }
    }

    fn unwatch(&self, worker: u16) {
        let mut net = self.net.get();
        let door = net.doors.entry(self.address).or_default();
        door.watchers.remove(&(self.gate, worker));
    }
}

/// The address of a gate's port.
pub fn gate_address(gate: usize, port: Port) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, gate as u8 + 1], 6543 + port.index() as u16))
}

/// The address of a PostgreSQL server.
pub fn postgres_address(postgres: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 1, postgres as u8 + 1], 5432))
}
