//! The worker: one thread, one loop.
//!
//! Each turn it reads the clock once, waits for the kernel, and gives every connection that has
//! something to read one read's worth of work; what is left waits for the next turn, so a large
//! result starves nobody. What a machine decides is carried out at once. What the pools order
//! (dial, hand off, close) is carried out before the turn ends.
//!
//! - [`logins`]: connections from applications until they are clients: accept, TLS, login, welcome.
//! - [`clients`]: clients: batches, leases, pins, goodbye.
//! - [`keeping`]: what clients keep from one transaction to the next: settings, and pins.
//! - [`listening`]: one server listens for all clients of its database.
//! - [`dialing`]: connections to PostgreSQL until they are servers: dialing, TLS, login.
//! - [`hosts`]: servers of a host that is not the one any more.
//! - [`servers`]: servers: in and out of a worker's hands, answers, errands, the end.
//! - [`cancels`]: cancel requests, from clients and to PostgreSQL.
//! - [`moving`]: clients that go over to another process, and those that come from one.
//! - [`visiting`]: clients of the admin console, which the control plane serves.
//! - [`lost`]: servers that die, and what becomes of what their clients have sent.
//! - [`timeouts`]: clients that take too long; [`deadlines`]: when it is too long.
//! - [`rounds`]: lists of clients, and what operators do to one of them.

mod rounds;
mod cancels;
mod logins;
mod moving;
mod visiting;
mod clients;
mod keeping;
mod listening;
mod dialing;
mod hosts;
mod servers;
mod lost;
mod timeouts;
mod deadlines;

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Poll, Token};
use slab::Slab;

use tidegate_config::Config;
use tidegate_pool_core::order::Order;
use tidegate_pool_core::pools::Pools;
use tidegate_pool_core::queue::Ticket;
use tidegate_pool_core::server::{PoolId, ServerId, Waiter};
use tidegate_session::pieces::Pieces;
use tidegate_session::pin::PinReason;
use tidegate_wire::tick::Tick;

use crate::channel::READ_BYTES;
use crate::entropy::Entropy;
use crate::limits::LOGINS_MAX;
use crate::listener::PortListener;
use crate::post;
use crate::server::Server;
use crate::shared::{Mail, Shared};
use crate::succession::{Asker, Giving};
use crate::timers::{Alarm, Timers};
use crate::token::{ClientKey, Source};
use crate::world::{Event, Registry};

use cancels::CancelRequest;
use clients::Client;
use keeping::Accepted;
use listening::Ear;
use rounds::Round;

/// Events taken from the kernel at once. More wait in the kernel, in order.
const EVENTS_MAX: usize = 1024;

/// Connections accepted in one turn, so that a flood of them does not hold up queries.
const ACCEPTS_PER_TURN: u32 = 64;

/// Idle clients that are told goodbye per turn while draining: a rate that their reconnecting
/// elsewhere can follow.
const GOODBYES_PER_TURN: usize = 64;

/// How long a drain sleeps between two lots of goodbyes.
const GOODBYE_PAUSE: Duration = Duration::from_millis(10);

/// Origins whose pins are remembered as logged. Each is a few words.
const PIN_ORIGINS_MAX: usize = 1024;

/// A client, its pool, its place in the queue, and its server.
type Place = (ClientKey, PoolId, Option<Ticket>, Option<ServerId>);

/// A worker, before and while it runs.
pub(crate) struct Worker {
    index: u16,
    shared: Arc<Shared>,
    /// The settings in force.
    config: Arc<Config>,
    registry: Registry,
    listeners: Vec<PortListener>,
    accepting: BTreeSet<u32>,
    /// A spare descriptor: given up for a moment to accept and close a connection when there is
    /// no other, so that its peer is told instead of waiting for ever.
    spare: Option<std::fs::File>,
    /// Not even the spare descriptor was there: nothing is accepted before then.
    accepts_from: Tick,
    /// When it may be logged again that descriptors are short.
    shortage_told_from: Tick,
    clients: Slab<Client>,
    client_serial: u32,
    /// Connections that have not logged in, or were refused and have not gone yet.
    logging_in: u32,
    /// Servers in this worker's hands, by [`ServerId::place`].
    servers: Vec<Option<Box<Server>>>,
    cancels: Slab<CancelRequest>,
    cancel_serial: u32,
    /// Servers whose cancel waits until one may be sent.
    cancels_wanted: VecDeque<ServerId>,
    /// Who waits for the cancel of what a server runs.
    askers: Vec<(ServerId, Asker)>,
    /// Connections that may have something to read.
    ready: VecDeque<Source>,
    timers: Timers,
    orders: VecDeque<Order<Box<Server>>>,
    entropy: Entropy,
    buffer: Vec<u8>,
    to_client: Pieces,
    to_server: Pieces,
    /// For batches that wait.
    spare_buffers: Vec<Vec<u8>>,
    pins_logged: BTreeSet<(PoolId, Box<str>, PinReason)>,
    accepted: Accepted,
    /// At most one for each database.
    ears: Vec<Ear>,
    rounds: VecDeque<Round>,
    now: Tick,
    /// When the pools want to be called, as of the beginning of this turn's wait.
    pools_due: Tick,
    has_mail: bool,
    drain: Option<Drain>,
    /// What it gives to another process.
    giving: Giving,
    /// Clients that may have come to rest in this turn, while it gives them.
    resting: Vec<ClientKey>,
    /// Clients that can't go there and are to be told so when they have nothing under way.
    leaving: VecDeque<ClientKey>,
    /// When the next of them are.
    leaving_due: Tick,
}

/// How long those that were told goodbye when a drain's time was up may take to hang up: a round trip,
/// half around the earth. No longer: whoever stops the gate may grant it the drain's time and no more.
const LAST_LINGER: Duration = Duration::from_millis(500);

/// A shutdown that is under way.
struct Drain {
    /// When what is left is cancelled and closed.
    deadline: Tick,
    /// Clients that have not been told yet; places in the slab, from the end.
    untold: usize,
    is_over: bool,
}

impl Worker {
    pub(crate) fn new(
        index: u16,
        shared: Arc<Shared>,
        registry: Registry,
        mut listeners: Vec<PortListener>,
        entropy: Entropy,
    ) -> io::Result<Self> {
        for (place, listener) in listeners.iter_mut().enumerate() {
            listener.listener.register(&registry, Source::Listener(place as u32))?;
        }
        Ok(Self {
            index,
            config: shared.config(),
            shared,
            registry,
            listeners,
            accepting: BTreeSet::new(),
            spare: std::fs::File::open("/dev/null").ok(),
            accepts_from: Tick::ZERO,
            shortage_told_from: Tick::ZERO,
            clients: Slab::new(),
            client_serial: 0,
            logging_in: 0,
            servers: Vec::new(),
            cancels: Slab::new(),
            cancel_serial: 0,
            cancels_wanted: VecDeque::new(),
            askers: Vec::new(),
            ready: VecDeque::new(),
            timers: Timers::default(),
            orders: VecDeque::new(),
            entropy,
            buffer: vec![0; READ_BYTES],
            to_client: Pieces::default(),
            to_server: Pieces::default(),
            spare_buffers: Vec::new(),
            pins_logged: BTreeSet::new(),
            accepted: Accepted::default(),
            ears: Vec::new(),
            rounds: VecDeque::new(),
            now: Tick::ZERO,
            pools_due: Tick::ZERO,
            has_mail: false,
            drain: None,
            giving: Giving::Nothing,
            resting: Vec::new(),
            leaving: VecDeque::new(),
            leaving_due: Tick::ZERO,
        })
    }

    /// Runs until the gate has shut down.
    pub(crate) fn run(mut self, mut poll: Poll) {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !self.is_over() {
            let timeout = self.timeout();
            match poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => panic!("epoll failed on a descriptor of ours: {error}"),
                Ok(()) => {}
            }
            self.turn(events.iter().map(Event::from));
        }
        self.mailbox().ended();
    }

    /// Whether the gate has shut down.
    pub(crate) fn is_over(&self) -> bool {
        self.drain.as_ref().is_some_and(|drain| drain.is_over)
    }

    /// One turn, with what has happened since the last.
    pub(crate) fn turn(&mut self, events: impl Iterator<Item = Event>) {
        self.now = self.shared.clock.now();
        events.for_each(|event| self.event(event));
        self.read_mail();
        self.accept();
        self.read_ready();
        if self.shared.memory.is_full() {
            self.relieve();
        }
        self.fire_timers();
        self.carry_out_orders();
        self.send_cancels();
        self.release_askers();
        self.go_on_rounds();
        self.go_on_draining();
        self.go_on_giving();
    }

    /// How many servers it has in hand, and how many of its clients wait for one.
    pub(crate) fn at_hand(&self) -> (usize, usize) {
        let waiting = self.clients.iter().filter(|(_, client)| client.ticket.is_some()).count();
        (self.servers.iter().flatten().count(), waiting + self.ears_waiting())
    }

    /// Its clients that have a pool: what they wait for, and what they have.
    pub(crate) fn standings(&self) -> impl Iterator<Item = Place> {
        self.clients.iter().filter_map(|(_, client)| {
            let session = client.session.as_deref()?;
            Some((client.key, session.pool, client.ticket, client.lease))
        })
    }

    /// When the next turn is due at the latest, as of this one.
    pub(crate) fn due(&mut self) -> Tick {
        let timeout = self.timeout();
        timeout.map_or(Tick::NEVER, |timeout| self.now + timeout)
    }

    fn timeout(&mut self) -> Option<Duration> {
        self.pools_due = self.shared.pools().next_timer().unwrap_or(Tick::NEVER);
        let may_accept = !self.accepting.is_empty() && self.logging_in < LOGINS_MAX;
        let has_work = !self.ready.is_empty() || !self.rounds.is_empty();
        if has_work || (may_accept && self.accepts_from <= self.now) {
            return Some(Duration::ZERO);
        }
        let accepts = may_accept.then_some(self.accepts_from);
        let pools = (self.pools_due < Tick::NEVER).then_some(self.pools_due);
        let leaving = (!self.leaving.is_empty()).then_some(self.leaving_due);
        let next = pools.into_iter().chain(accepts).chain(leaving).chain(self.timers.next()).min();
        // Reckoned from the beginning of the turn, which is what everything in it goes by.
        let timer = next.map(|due| due.since(self.now));
        let drain = self.drain.as_ref().map(|_| GOODBYE_PAUSE);
        timer.into_iter().chain(drain).min()
    }

    fn event(&mut self, event: Event) {
        let source = Source::of(Token(event.token));
        let Event { writable, closed, .. } = event;
        let readable = event.readable || closed;
        match source {
            Source::Listener(place) => {
                self.accepting.insert(place);
            }
            Source::Mailbox => self.has_mail = true,
            Source::Client(key) => {
                if writable {
                    self.client_writable(key);
                }
                if closed {
                    self.client_hung_up(key);
                    if let Some(client) = self.client(key) {
                        client.channel.mark_hung_up();
                    }
                }
                if readable
                    && let Some(client) = self.client(key)
                    && client.channel.mark_readable()
                {
                    self.ready.push_back(source);
                }
            }
            Source::Server(id) => {
                if self.server(id).is_none() {
                    return self.idle_server_event(id);
                }
                if writable {
                    self.server_writable(id);
                }
                if closed && let Some(server) = self.server(id) {
                    server.channel.mark_hung_up();
                }
                if readable
                    && let Some(server) = self.server(id)
                    && server.channel.mark_readable()
                {
                    self.ready.push_back(source);
                }
            }
            Source::Cancel(key) => self.cancel_event(key),
        }
    }

    /// One read for each connection that may have something to read.
    fn read_ready(&mut self) {
        for _ in 0..self.ready.len() {
            let Some(source) = self.ready.pop_front() else { break };
            let mut buffer = std::mem::take(&mut self.buffer);
            match source {
                Source::Client(key) => self.read_client(key, &mut buffer),
                Source::Server(id) => self.read_server(id, &mut buffer),
                Source::Cancel(_) | Source::Listener(_) | Source::Mailbox => {}
            }
            self.buffer = buffer;
            self.carry_out_orders();
        }
    }

    fn read_mail(&mut self) {
        if !std::mem::take(&mut self.has_mail) {
            return;
        }
        self.mailbox().beat();
        loop {
            let mail = self.mailbox().mail.take();
            match mail {
                None => break,
                Some(Mail::Cancel(key, secret, asker)) => self.cancel_client(key, &secret, asker),
                Some(Mail::Cancelled(key)) => self.remove_client(key),
                Some(Mail::KillClient(id, told)) => told(self.kill_client(id)),
                Some(Mail::KillServer(id, told)) => told(self.kill_server(id)),
                Some(Mail::Reload(config)) => self.reload(config),
                Some(Mail::List(listing)) => self.list(*listing),
                Some(Mail::HandOff(key, ticket, lease)) => self.handed_off(key, ticket, lease),
                Some(Mail::Refuse(key, ticket, error)) => self.wait_refused(key, ticket, &error),
                Some(Mail::Derived(id, keys)) => self.derived(id, keys),
                Some(Mail::Stepped(source, stepped)) => match source {
                    Source::Cancel(key) => self.cancel_stepped(key, *stepped),
                    Source::Client(key) => self.client_stepped(key, *stepped),
                    Source::Server(id) => self.server_stepped(id, *stepped),
                    Source::Listener(_) | Source::Mailbox => {}
                },
                Some(Mail::UserFound(key, found)) => self.user_found(key, found),
                Some(Mail::TakeIn(moved)) => self.take_in(*moved),
                Some(Mail::Listen(listener)) => self.listen(listener),
                Some(Mail::ListenNoMore(port, address)) => self.listen_no_more(port, &address),
                Some(Mail::Visitor(key, words, then)) => {
                    self.visitor_answered(key, &words, then);
                }
            }
        }
        // The control plane may have left orders when it changed the budget.
        self.with_pools(|_| {});
        if self.shared.is_draining() && self.drain.is_none() {
            self.start_draining();
        }
        self.follow_takeover();
    }

    fn mailbox(&self) -> &crate::shared::Mailbox {
        &self.shared.mailboxes[usize::from(self.index)]
    }

    fn fire_timers(&mut self) {
        while let Some(source) = self.timers.pop(self.now) {
            match source {
                Source::Client(key) => self.client_timer(key),
                Source::Server(id) => self.server_timer(id),
                Source::Cancel(key) => self.cancel_timer(key),
                Source::Listener(_) | Source::Mailbox => {}
            }
        }
        if self.pools_due <= self.now {
            let now = self.now;
            self.with_pools(|pools| pools.tick(now));
        }
    }

    /// Calls the pools and takes over the orders that the call left.
    fn with_pools<R>(&mut self, call: impl FnOnce(&mut Pools<Box<Server>>) -> R) -> R {
        post::call(&self.shared.pools, &mut self.orders, call)
    }

    fn carry_out_orders(&mut self) {
        while let Some(order) = self.orders.pop_front() {
            match order {
                Order::Check(lease) => self.check_server(lease),
                Order::Close(lease, reason) => self.close_pooled(lease, reason),
                Order::Dial(dial) => self.dial(dial),
                Order::HandOff(waiter, ticket, lease) => match self.own(waiter) {
                    Some(key) => self.handed_off(key, ticket, lease),
                    None => self.mail(waiter, |key| Mail::HandOff(key, ticket, lease)),
                },
                Order::Refuse(waiter, ticket, error) => match self.own(waiter) {
                    Some(key) => self.wait_refused(key, ticket, &error),
                    None => self.mail(waiter, |key| Mail::Refuse(key, ticket, error)),
                },
            }
        }
    }

    fn own(&self, waiter: Waiter) -> Option<ClientKey> {
        (waiter.worker == self.index).then(|| ClientKey::from_bits(waiter.client))
    }

    fn mail(&self, waiter: Waiter, mail: impl FnOnce(ClientKey) -> Mail) {
        let mailbox = &self.shared.mailboxes[usize::from(waiter.worker)];
        mailbox.put(mail(ClientKey::from_bits(waiter.client)));
    }

    fn server(&mut self, id: ServerId) -> Option<&mut Server> {
        let server = self.servers.get_mut(id.place())?.as_deref_mut()?;
        (server.id == id).then_some(server)
    }

    fn client(&mut self, key: ClientKey) -> Option<&mut Client> {
        let client = self.clients.get_mut(key.place as usize)?;
        (client.key == key).then_some(client)
    }

    fn set_alarm(&mut self, source: Source, due: Tick) {
        let alarm = match source {
            Source::Client(key) => self
                .clients
                .get_mut(key.place as usize)
                .filter(|client| client.key == key)
                .map(|client| &mut client.alarm),
            Source::Server(id) => self
                .servers
                .get_mut(id.place())
                .and_then(Option::as_deref_mut)
                .filter(|server| server.id == id)
                .map(|server| &mut server.alarm),
            Source::Cancel(key) => self
                .cancels
                .get_mut(key.place as usize)
                .filter(|cancel| cancel.key == key)
                .map(|cancel| &mut cancel.alarm),
            Source::Listener(_) | Source::Mailbox => None,
        };
        if let Some(alarm) = alarm {
            self.timers.set(source, alarm, due);
        }
    }

    fn clear_alarm(&mut self, source: Source, alarm: &mut Alarm) {
        self.timers.clear(source, alarm);
    }

    // --- Shutdown. ---

    fn start_draining(&mut self) {
        for listener in &mut self.listeners {
            listener.listener.deregister(&self.registry);
            if self.shared.must_yield() {
                listener.listener.set_anothers(true);
            }
        }
        self.listeners.clear();
        self.accepting.clear();
        let now = self.now;
        self.with_pools(|pools| pools.drain(now));
        self.stop_listening();
        let untold = self.clients.iter().map(|(place, _)| place + 1).max().unwrap_or(0);
        let deadline = match self.shared.succession.is_time_up() {
            true => self.now,
            false => self.now + self.config.timeouts.drain,
        };
        self.drain = Some(Drain { deadline, untold, is_over: false });
    }

    /// Tells some idle clients; closes everything once the time is up.
    fn go_on_draining(&mut self) {
        let Some(drain) = &mut self.drain else { return };
        let times_up = self.now >= drain.deadline;
        let is_end = self.now >= drain.deadline + LAST_LINGER;
        let lot = if times_up { usize::MAX } else { GOODBYES_PER_TURN };
        let from = drain.untold.saturating_sub(lot);
        let places = from..drain.untold;
        drain.untold = from;
        for place in places {
            let Some(key) = self.clients.get(place).map(|client| client.key) else { continue };
            self.drain_client(key, times_up);
        }
        if times_up {
            let keys: Vec<_> = self.clients.iter().map(|(_, client)| client.key).collect();
            for key in keys {
                self.drain_client(key, true);
                if is_end {
                    self.remove_client(key);
                }
            }
        }
        self.carry_out_orders();
        let servers_left = self.servers.iter().any(Option::is_some);
        // Servers have been told goodbye; the kernel tells PostgreSQL the rest when we exit.
        let is_over = self.clients.is_empty() && (!servers_left || times_up);
        if let Some(drain) = &mut self.drain {
            drain.is_over = is_over;
        }
    }
}
