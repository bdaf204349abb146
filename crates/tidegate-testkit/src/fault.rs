//! A network between two programs of one machine that does what a test orders: it passes, delays,
//! holds, cuts, refuses, and forgets.
//!
//! One thread has all connections, so an order is in force when the call that gave it returns, and
//! a connection is broken by closing it, with nobody else at it. What is held is not read either:
//! back-pressure and the sender's kernel see what a network that brings nothing lets them see, but
//! for one thing: the relay's own kernel goes on acknowledging, so a `TCP_USER_TIMEOUT` never runs out.
//!
//! A thread that sleeps wakes late by some 60 µs; so what is due soon is waited for by looking
//! again and again, which costs a core for that long and makes a delay exact to some 10 µs on a
//! machine with a core to spare.

#![expect(clippy::disallowed_types, reason = "delays real bytes by real time")]

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From who has connected.
    Up,
    /// To who has connected.
    Down,
}

impl Way {
    /// Both, for an order that is for both.
    pub const BOTH: &'static [Self] = &[Self::Up, Self::Down];
}

/// How a connection ends, for both of its sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Nothing more follows, as when a program closes its socket.
    Fin,
    /// It is broken, as when a machine does not know it any more.
    Reset,
}

/// Which connections an order is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that there are, and those that will come.
    All,
    /// The one of which the client, or PostgreSQL (`pg_stat_activity.client_port`), knows the other
    /// side by this port.
    Of(u16),
}

/// What becomes of attempts to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Open,
    Refusing,
    Silent,
}

#[derive(Debug)]
enum Order {
    Delay(Duration),
    Hold(Which, [bool; 2]),
    Cut(Which, Cut),
    CutAfter(Which, Way, usize, Cut),
    Forget(Which),
    Door(Door),
    Heal,
    Count,
}

/// An order, and where it is said how many connections it is for.
type Letter = (Order, SyncSender<usize>);

/// A relay. What is dropped with it ends all of its connections.
#[derive(Debug)]
pub struct FaultProxy {
    port: u16,
    letters: Sender<Letter>,
    bell: UnixStream,
}

impl FaultProxy {
    /// Between whoever connects and this port of this machine. It passes everything at once.
    ///
    /// # Panics
    /// When it can't listen.
    pub fn start(to: u16) -> Self {
        let (bell, rung) = UnixStream::pair().expect("a pair of sockets");
        let (letters, inbox) = channel();
        let network = Network::new(to);
        let port = network.address.port();
        rung.set_nonblocking(true).expect("it does not block");
        thread::spawn(move || network.run(&inbox, &rung));
        Self { port, letters, bell }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on everything arrives later by `delay`, in order.
    pub fn delay(&self, delay: Duration) {
        self.order(Order::Delay(delay));
    }

    /// A black hole: nothing arrives on these ways, not even an end, until [`FaultProxy::release`].
    /// Says how many connections there are.
    pub fn hold(&self, which: Which, ways: &[Way]) -> usize {
        let held = [Way::Up, Way::Down].map(|way| ways.contains(&way));
        self.order(Order::Hold(which, held))
    }

    /// What was held arrives.
    pub fn release(&self, which: Which) {
        self.order(Order::Hold(which, [false; 2]));
    }

    /// Ends the connections that there are; says how many.
    pub fn cut(&self, which: Which, how: Cut) -> usize {
        self.order(Order::Cut(which, how))
    }

    /// Ends the first connection on which so many more bytes have gone this way, and lets nothing
    /// pass behind them.
    pub fn cut_after(&self, which: Which, way: Way, bytes: usize, how: Cut) -> usize {
        self.order(Order::CutAfter(which, way, bytes, how))
    }

    /// Half-open: the far side is closed in order, and who has connected is not told. What it
    /// says goes nowhere. Says how many connections.
    pub fn forget(&self, which: Which) -> usize {
        self.order(Order::Forget(which))
    }

    /// Attempts to connect are refused, as where nobody listens.
    pub fn refuse(&self) {
        self.order(Order::Door(Door::Refusing));
    }

    /// Attempts to connect are not answered at all.
    pub fn ignore(&self) {
        self.order(Order::Door(Door::Silent));
    }

    /// Attempts to connect succeed again.
    pub fn accept(&self) {
        self.order(Order::Door(Door::Open));
    }

    /// All is as at the start: what was held arrives, nothing is delayed or waits to be cut, and who
    /// wants to connect may.
    pub fn heal(&self) {
        self.order(Order::Heal);
    }

    /// Connections of which at least one side is still there.
    pub fn connections(&self) -> usize {
        self.order(Order::Count)
    }

    fn order(&self, order: Order) -> usize {
        let (reply, replied) = sync_channel(1);
        self.letters.send((order, reply)).expect("the relay runs");
        (&self.bell).write_all(b"!").expect("the relay hears");
        replied.recv().expect("the relay answers")
    }
}

/// Something on its way, and when it is due.
#[derive(Debug)]
struct Parcel {
    due: Instant,
    what: What,
}

#[derive(Debug)]
enum What {
    Bytes(Vec<u8>),
    End(Cut),
}

#[derive(Debug, Clone, Copy)]
struct Armed {
    way: usize,
    bytes: usize,
    how: Cut,
}

/// A connection: the end that has connected, and the end towards whom.
#[derive(Debug)]
struct Link {
    ends: [Option<TcpStream>; 2],
    /// The port by which each side knows us, or we know it.
    ports: [u16; 2],
    /// What comes from each end.
    queues: [VecDeque<Parcel>; 2],
    /// An end has said its last.
    has_ended: [bool; 2],
    /// The other one has been told so.
    is_told: [bool; 2],
    held: [bool; 2],
    /// What comes from this end goes nowhere.
    swallows: [bool; 2],
    armed: Option<Armed>,
}

/// What one read takes, and a few of which may be on their way on each way: what is delayed must
/// go on being read, and what is not taken must not be.
const CHUNK_BYTES: usize = 64 * 1024;
const PARCELS_MAX: usize = 64;

impl Link {
    fn is(&self, which: Which) -> bool {
        match which {
            Which::All => true,
            Which::Of(port) => self.ports.contains(&port),
        }
    }

    fn reads(&self, end: usize) -> bool {
        let has_room = self.queues[end].len() < PARCELS_MAX;
        !self.has_ended[end] && (self.swallows[end] || (!self.held[end] && has_room))
    }

    /// When something is next to be done at `way`.
    fn due(&self, way: usize) -> Option<Instant> {
        self.queues[way].front().filter(|_| !self.held[way]).map(|parcel| parcel.due)
    }

    fn read(&mut self, end: usize, delay: Duration) {
        let Some(stream) = &mut self.ends[end] else { return };
        let mut chunk = vec![0; CHUNK_BYTES];
        let what = match stream.read(&mut chunk) {
            Ok(0) => What::End(Cut::Fin),
            Ok(bytes) => {
                chunk.truncate(bytes);
                What::Bytes(chunk)
            }
            Err(error) if is_for_now(error.kind()) => return,
            Err(_) => return self.broke(end, delay),
        };
        self.has_ended[end] = matches!(what, What::End(_));
        if !self.swallows[end] {
            self.queues[end].push_back(Parcel { due: Instant::now() + delay, what });
        }
    }

    /// An end is broken; the other one hears of it in its turn.
    fn broke(&mut self, end: usize, delay: Duration) {
        self.ends[end] = None;
        self.has_ended[end] = true;
        if !self.swallows[end] {
            let what = What::End(Cut::Reset);
            self.queues[end].push_back(Parcel { due: Instant::now() + delay, what });
        }
    }

    /// Delivers what is due on one way. True when the cut that was ordered has happened.
    fn deliver(&mut self, way: usize, delay: Duration) -> bool {
        let now = Instant::now();
        while self.due(way).is_some_and(|due| due <= now) {
            let to = 1 - way;
            let Some(parcel) = self.queues[way].front_mut() else { return false };
            let Some(stream) = &mut self.ends[to] else {
                self.queues[way].pop_front();
                continue;
            };
            match &mut parcel.what {
                What::End(Cut::Fin) => {
                    let _ = stream.shutdown(Shutdown::Write); // It may be broken by now.
                    self.is_told[way] = true;
                    self.queues[way].pop_front();
                }
                What::End(Cut::Reset) => {
                    self.cut(Cut::Reset);
                    return false;
                }
                What::Bytes(bytes) => {
                    let armed = self.armed.filter(|armed| armed.way == way);
                    let most = armed.map_or(bytes.len(), |armed| armed.bytes.min(bytes.len()));
                    match stream.write(&bytes[..most]) {
                        Err(error) if is_for_now(error.kind()) => return false,
                        Err(_) => {
                            self.broke(to, delay);
                            continue;
                        }
                        Ok(written) => {
                            bytes.drain(..written);
                            if bytes.is_empty() {
                                self.queues[way].pop_front();
                            }
                            if let Some(armed) = armed {
                                let bytes = armed.bytes - written;
                                self.armed = Some(Armed { bytes, ..armed });
                                if bytes == 0 {
                                    self.cut(armed.how);
                                    return true;
                                }
                            }
                        }
                    }
                }
            }
        }
        false
    }

    fn cut(&mut self, how: Cut) {
        self.queues.iter_mut().for_each(VecDeque::clear);
        self.armed = None;
        match how {
            Cut::Reset => {
                for end in &mut self.ends {
                    if let Some(stream) = end.take() {
                        // Closing it is a reset then (socket(7), SO_LINGER).
                        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                    }
                }
            }
            // Closing it with something unread would be a reset, so the rest is read away.
            Cut::Fin => {
                for stream in self.ends.iter().flatten() {
                    let _ = stream.shutdown(Shutdown::Write);
                }
                self.swallows = [true; 2];
                self.is_told = [true; 2];
            }
        }
    }

    fn forget(&mut self) {
        self.queues.iter_mut().for_each(VecDeque::clear);
        self.ends[1] = None;
        self.has_ended[1] = true;
        self.swallows[0] = true;
    }

    fn is_over(&self) -> bool {
        let is_done = |way: usize| self.has_ended[way] && (self.is_told[way] || self.swallows[way]);
        let is_there = |end: usize| self.ends[end].is_some() && !is_done(end);
        match (&self.ends[0], &self.ends[1]) {
            (None, None) => true,
            (Some(_), Some(_)) => is_done(0) && is_done(1),
            // One is gone: the other is there until it has been told, or for as long as it likes.
            (Some(_), None) => self.queues[1].is_empty() && !is_there(0),
            (None, Some(_)) => self.queues[0].is_empty() && !is_there(1),
        }
    }
}

fn is_for_now(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[derive(Debug)]
struct Network {
    to: u16,
    /// Keeps the port while nobody listens on it.
    _reserved: Socket,
    address: SocketAddr,
    listener: Option<TcpListener>,
    /// They fill the queue of a listener that never accepts.
    fillers: Vec<Socket>,
    delay: Duration,
    held: [bool; 2],
    armed: Option<Armed>,
    links: Vec<Link>,
}

impl Network {
    fn new(to: u16) -> Self {
        let reserved = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let address = reserved.local_addr().expect("it is bound").as_socket().expect("IPv4");
        let mut network = Self {
            to,
            _reserved: reserved,
            address,
            listener: None,
            fillers: Vec::new(),
            delay: Duration::ZERO,
            held: [false; 2],
            armed: None,
            links: Vec::new(),
        };
        network.listener = Some(network.listen(BACKLOG));
        network
    }

    fn listen(&self, backlog: i32) -> TcpListener {
        let socket = bound(self.address);
        socket.listen(backlog).expect("the port is ours");
        socket.set_nonblocking(true).expect("it does not block");
        socket.into()
    }

    fn run(mut self, inbox: &Receiver<Letter>, rung: &UnixStream) {
        loop {
            loop {
                match inbox.try_recv() {
                    Ok((order, reply)) => {
                        let count = self.obey(&order);
                        let _ = reply.send(count); // Nobody may be left to hear it.
                    }
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            self.deliver();
            self.links.retain(|link| !link.is_over());
            self.wait(rung);
        }
    }

    fn obey(&mut self, order: &Order) -> usize {
        match *order {
            Order::Delay(delay) => {
                self.delay = delay;
                self.links.len()
            }
            Order::Hold(which, held) => {
                if which == Which::All {
                    self.held = held;
                }
                self.each(which, |link| link.held = held)
            }
            Order::Cut(which, how) => self.each(which, |link| link.cut(how)),
            Order::CutAfter(which, way, bytes, how) => {
                let armed = Some(Armed { way: way as usize, bytes, how });
                if which == Which::All {
                    self.armed = armed;
                }
                self.each(which, |link| link.armed = armed)
            }
            Order::Forget(which) => self.each(which, Link::forget),
            Order::Door(door) => {
                self.stand(door);
                self.links.len()
            }
            Order::Heal => {
                if self.listener.is_none() || !self.fillers.is_empty() {
                    self.stand(Door::Open);
                }
                (self.delay, self.held, self.armed) = (Duration::ZERO, [false; 2], None);
                self.each(Which::All, |link| (link.held, link.armed) = ([false; 2], None))
            }
            Order::Count => self.links.len(),
        }
    }

    fn stand(&mut self, door: Door) {
        self.listener = None;
        self.fillers.clear();
        match door {
            Door::Open => self.listener = Some(self.listen(BACKLOG)),
            Door::Refusing => {}
            Door::Silent => self.fall_silent(),
        }
    }

    fn each(&mut self, which: Which, mut change: impl FnMut(&mut Link)) -> usize {
        let hit = self.links.iter_mut().filter(|link| link.is(which)).map(&mut change);
        let count = hit.count();
        self.links.retain(|link| !link.is_over());
        count
    }

    /// Linux drops what wants to connect where the queue is full (listen(2)); one that is to be of
    /// length 0 has room for one.
    fn fall_silent(&mut self) {
        self.listener = Some(self.listen(0));
        for _ in 0..2 {
            let filler = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP));
            let filler = filler.expect("a descriptor");
            filler.set_nonblocking(true).expect("it does not block");
            let _ = filler.connect(&self.address.into()); // It is under way.
            self.fillers.push(filler);
        }
    }

    fn deliver(&mut self) {
        let mut is_cut = false;
        for link in &mut self.links {
            for way in 0..2 {
                is_cut |= link.deliver(way, self.delay);
            }
        }
        if is_cut {
            self.armed = None;
            self.links.iter_mut().for_each(|link| link.armed = None);
        }
    }

    /// Waits until there is something to do, and reads what there is to be read.
    fn wait(&mut self, rung: &UnixStream) {
        let now = Instant::now();
        let mut next: Option<Instant> = None;
        let mut watched = Vec::new();
        let mut descriptors = vec![PollFd::from_borrowed_fd(rung.as_fd(), PollFlags::IN)];
        let accepts = self.listener.as_ref().filter(|_| self.fillers.is_empty());
        if let Some(listener) = accepts {
            descriptors.push(PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN));
        }
        let first = descriptors.len();
        for (place, link) in self.links.iter().enumerate() {
            for (end, stream) in link.ends.iter().enumerate() {
                let Some(stream) = stream else { continue };
                let mut flags = PollFlags::empty();
                flags.set(PollFlags::IN, link.reads(end));
                match link.due(1 - end) {
                    Some(due) if due <= now => flags |= PollFlags::OUT,
                    Some(due) => next = Some(next.map_or(due, |next| next.min(due))),
                    None => {}
                }
                // What is of no interest would wake us for an error.
                if !flags.is_empty() {
                    descriptors.push(PollFd::from_borrowed_fd(stream.as_fd(), flags));
                    watched.push((place, end));
                }
            }
        }
        let timeout = next.map(|due| {
            let early = due.saturating_duration_since(now).saturating_sub(WAKES_LATE_BY);
            Timespec::try_from(early).expect("a delay is short")
        });
        if poll(&mut descriptors, timeout.as_ref()).is_err() {
            return; // Interrupted.
        }
        let happened: Vec<_> = descriptors.iter().map(PollFd::revents).collect();
        drop(descriptors);
        if !happened[0].is_empty() {
            let _ = (&*rung).read(&mut [0; 64]);
        }
        let read = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
        for ((place, end), flags) in watched.into_iter().zip(&happened[first..]) {
            let link = &mut self.links[place];
            if flags.intersects(read) && link.reads(end) {
                link.read(end, self.delay);
            }
        }
        if first > 1 && !happened[1].is_empty() {
            self.accept();
        }
    }

    fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        while let Ok((near, address)) = listener.accept() {
            // Nobody listens: the connection ends, as it would have been refused.
            let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.to)) else { continue };
            let ports = [address.port(), far.local_addr().map_or(0, |address| address.port())];
            for stream in [&near, &far] {
                stream.set_nodelay(true).expect("nodelay is set");
                stream.set_nonblocking(true).expect("it does not block");
            }
            self.links.push(Link {
                ends: [Some(near), Some(far)],
                ports,
                queues: [VecDeque::new(), VecDeque::new()],
                has_ended: [false; 2],
                is_told: [false; 2],
                held: self.held,
                swallows: [false; 2],
                armed: self.armed,
            });
        }
    }
}

/// A socket that listens or may do so later. Linux lets several have one address as long as all of
/// them allow it and none but the last listens.
fn bound(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP));
    let socket = socket.expect("a descriptor");
    socket.set_reuse_address(true).expect("an address may be used again");
    socket.bind(&address.into()).expect("a free port");
    socket
}

/// A burst of all that a test connects at once.
const BACKLOG: i32 = 1024;

/// The kernel's slack of 50 µs, and what it takes to get a core.
const WAKES_LATE_BY: Duration = Duration::from_micros(200);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait;

    /// A relay, what connects through it, and whom it is connected to.
    fn joined() -> (FaultProxy, TcpStream, TcpStream, TcpListener) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let proxy = FaultProxy::start(listener.local_addr().expect("an address").port());
        let near = connect(&proxy);
        let (far, _) = listener.accept().expect("it is passed on");
        far.set_read_timeout(Some(wait::DEADLINE)).expect("a time-out is set");
        (proxy, near, far, listener)
    }

    fn connect(proxy: &FaultProxy) -> TcpStream {
        let near = TcpStream::connect(("127.0.0.1", proxy.port())).expect("it listens");
        near.set_nodelay(true).expect("nodelay is set");
        near.set_read_timeout(Some(wait::DEADLINE)).expect("a time-out is set");
        near
    }

    fn heard(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
        let mut heard = vec![0; bytes];
        stream.read_exact(&mut heard).expect("all of it comes");
        heard
    }

    fn ends_with(stream: &mut TcpStream) -> Option<ErrorKind> {
        match stream.read(&mut [0; 16]) {
            Ok(bytes) => {
                assert_eq!(bytes, 0, "something came before the end");
                None
            }
            Err(error) => Some(error.kind()),
        }
    }

    fn says_nothing(stream: &TcpStream) -> bool {
        stream.set_nonblocking(true).expect("it does not block");
        let result = (&*stream).read(&mut [0; 16]);
        stream.set_nonblocking(false).expect("it blocks");
        result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    #[test]
    fn everything_arrives_in_order_and_later_by_the_delay() {
        let (proxy, mut near, mut far, _) = joined();
        let delay = Duration::from_millis(5);
        proxy.delay(delay);
        let sent: Vec<u8> = (0..=255).cycle().take(3000).collect();
        let elapsed = wait::stopwatch();
        sent.chunks(100).for_each(|part| near.write_all(part).expect("it is taken"));
        let echo = heard(&mut far, sent.len());
        far.write_all(&echo).expect("it is taken");
        assert!(heard(&mut near, sent.len()) == sent, "in order");
        let elapsed = elapsed();
        assert!(elapsed >= 2 * delay, "{elapsed:?}");
        // Thirty parts, and not thirty times the delay.
        assert!(elapsed < 20 * delay, "{elapsed:?}");
        near.shutdown(Shutdown::Write).expect("it stands");
        assert_eq!(ends_with(&mut far), None);
        far.write_all(b"more").expect("half of it stands");
        assert_eq!(heard(&mut near, 4), b"more");
        drop(far);
        assert_eq!(ends_with(&mut near), None);
        wait::until("nothing is left", || (proxy.connections() == 0).then_some(()));
    }

    #[test]
    fn what_is_held_arrives_when_it_is_released_and_the_other_way_is_free() {
        let (proxy, mut near, mut far, _) = joined();
        assert_eq!(proxy.hold(Which::All, &[Way::Up]), 1);
        near.write_all(b"held").expect("the kernel takes it");
        near.shutdown(Shutdown::Write).expect("it stands");
        far.write_all(b"free").expect("it is taken");
        assert_eq!(heard(&mut near, 4), b"free");
        assert!(says_nothing(&far));
        proxy.release(Which::All);
        assert_eq!(heard(&mut far, 4), b"held");
        assert_eq!(ends_with(&mut far), None);
    }

    #[test]
    fn an_order_for_one_connection_is_not_for_another() {
        let (proxy, mut near, mut far, listener) = joined();
        let mut other = connect(&proxy);
        let (mut beyond, _) = listener.accept().expect("it is passed on");
        let by_client = other.local_addr().expect("an address").port();
        let by_server = beyond.peer_addr().expect("an address").port();
        assert_eq!(proxy.hold(Which::Of(by_client), Way::BOTH), 1);
        assert_eq!(proxy.cut(Which::Of(by_server), Cut::Reset), 1);
        assert_eq!(ends_with(&mut other), Some(ErrorKind::ConnectionReset));
        assert_eq!(ends_with(&mut beyond), Some(ErrorKind::ConnectionReset));
        near.write_all(b"on").expect("it is taken");
        assert_eq!(heard(&mut far, 2), b"on");
    }

    #[test]
    fn a_cut_comes_right_behind_the_byte_that_was_named() {
        for (how, end) in [(Cut::Fin, None), (Cut::Reset, Some(ErrorKind::ConnectionReset))] {
            let (proxy, mut near, mut far, _) = joined();
            proxy.cut_after(Which::All, Way::Up, 3, how);
            far.write_all(b"the other way").expect("it is taken");
            assert_eq!(heard(&mut near, 13), b"the other way");
            near.write_all(b"message").expect("it is taken");
            assert_eq!(heard(&mut far, 3), b"mes");
            assert_eq!(ends_with(&mut far), end);
            assert_eq!(ends_with(&mut near), end);
        }
    }

    #[test]
    fn who_is_half_open_hears_nothing_and_is_heard_by_nobody() {
        let (proxy, mut near, mut far, _) = joined();
        assert_eq!(proxy.forget(Which::All), 1);
        assert_eq!(ends_with(&mut far), None);
        near.write_all(b"anybody?").expect("the kernel takes it");
        assert_eq!(proxy.connections(), 1);
        assert!(says_nothing(&near));
        drop(near);
        wait::until("it has given up", || (proxy.connections() == 0).then_some(()));
    }

    #[test]
    fn attempts_to_connect_are_refused_or_not_answered_until_they_succeed_again() {
        let (proxy, mut near, mut far, listener) = joined();
        proxy.hold(Which::All, Way::BOTH);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, proxy.port()));
        let attempt = || TcpStream::connect_timeout(&address, Duration::from_millis(300));
        proxy.refuse();
        assert_eq!(attempt().expect_err("nobody listens").kind(), ErrorKind::ConnectionRefused);
        proxy.ignore();
        assert_eq!(attempt().expect_err("nobody answers").kind(), ErrorKind::TimedOut);
        near.write_all(b"what stands goes on").expect("it is taken");
        proxy.heal();
        assert_eq!(heard(&mut far, 19), b"what stands goes on");
        attempt().expect("it listens");
        listener.accept().expect("it is passed on");
    }

    #[test]
    fn a_break_is_passed_on_as_a_break() {
        let (_proxy, near, mut far, _) = joined();
        SockRef::from(&near).set_linger(Some(Duration::ZERO)).expect("it is set");
        drop(near);
        assert_eq!(ends_with(&mut far), Some(ErrorKind::ConnectionReset));
    }
}
