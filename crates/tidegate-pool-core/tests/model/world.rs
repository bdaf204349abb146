//! A naive model of the pools beside the real ones: a list of servers, a list of waiters per
//! pool, and a worker that carries out each order at once. Whatever the pools do is checked
//! against it, after every step.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tidegate_budget::budget::{Budget, Ceilings, Census};
use tidegate_budget::limits::{Limits, Server};
use tidegate_pool_core::order::{Checkout, CheckoutError, Dial, Order};
use tidegate_pool_core::pools::operating::Scope;
use tidegate_pool_core::pools::{Pools, View};
use tidegate_pool_core::queue::Ticket;
use tidegate_pool_core::retry::{DialFailure, FailureKind, Retry};
use tidegate_pool_core::server::{
    CloseReason, Flavour, Hygiene, Lease, PoolId, PoolKey, Port, ServerId, State, Waiter,
};
use tidegate_pool_core::settings::{
    AnswerProbes, DIALS_PER_POOL_MAX, PoolSettings, PrePing, ResetPolicy, RetrySettings,
};
use tidegate_pool_core::tally::Outcome;
use tidegate_wire::tick::Tick;

/// What the worker has of a server, and thereby where it stands.
#[derive(Debug)]
enum Hand {
    Dialing(Dial),
    /// The pool has it.
    Idle,
    Leased(Port, Lease<()>),
    Resetting(Lease<()>),
    Checking(Lease<()>),
    Closing,
}

impl Hand {
    fn state(&self) -> State {
        match self {
            Self::Dialing(_) => State::Dialing,
            Self::Idle => State::Idle,
            Self::Leased(port, _) => State::Leased(*port),
            Self::Resetting(_) => State::Resetting,
            Self::Checking(_) => State::Checking,
            Self::Closing => State::Closing,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    waiter: Waiter,
    ticket: Ticket,
    port: Port,
    deadline: Tick,
}

/// How a checkout came out, for scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Got {
    Server(ServerId),
    Waits(u64),
    Refused,
}

pub(crate) struct World {
    /// The flavour of the next server that logs in.
    pub(crate) flavour: u64,
    pub(crate) pools: Pools<ServerId>,
    pub(crate) now: Tick,
    pub(crate) ids: Vec<PoolId>,
    settings: PoolSettings,
    budget: u32,
    paused: Vec<bool>,
    servers: BTreeMap<ServerId, (usize, Hand)>,
    waiting: Vec<VecDeque<Waiting>>,
    waiters: u64,
    draining: bool,
    /// What happened since the log was last taken.
    log: Vec<String>,
}

pub(crate) fn settings() -> PoolSettings {
    PoolSettings {
        pool_size: 2,
        max_overflow: 2,
        pool_timeout: Duration::from_secs(30),
        pool_recycle: None,
        pool_pre_ping: PrePing::Off,
        answer_probes: AnswerProbes::Begin,
        pins_max: None,
        overflow_linger: Duration::from_secs(10),
        server_idle_timeout: None,
        reset: ResetPolicy::Auto,
    }
}

pub(crate) fn failure(kind: FailureKind) -> DialFailure {
    DialFailure { kind, sqlstate: None, cause: kind.as_str().into() }
}

fn census(foreign: u32) -> Census {
    Census { foreign, ..Census::unknown() }
}

pub(crate) fn retry_settings() -> RetrySettings {
    RetrySettings {
        attempts: 3,
        multiplier: Duration::from_secs(1),
        min: Duration::from_secs(2),
        max: Duration::from_secs(10),
        jitter: true,
        budget: 0.1,
    }
}

impl World {
    /// `count` pools with a client on each port of each, behind a budget of `budget`.
    pub(crate) fn new(count: usize, budget: u32, settings: PoolSettings) -> Self {
        let mut ledger = Budget::new(Limits {
            plan: Some(budget),
            connections: None,
            headroom: 0,
            control: 0,
            server: Server::Unasked,
        });
        ledger.census(census(0));
        let mut pools = Pools::new(ledger, Retry::new(retry_settings(), 1));
        let mut ids = Vec::new();
        for pool in 0..count {
            let key = PoolKey { database: format!("d{pool}").into(), user: "u".into() };
            for port in Port::ALL {
                let id = pools.join(&key, port, || settings.clone());
                if port == Port::Session {
                    ids.push(id);
                }
            }
        }
        Self {
            flavour: 0,
            pools,
            now: Tick::ZERO,
            ids,
            settings,
            budget,
            paused: vec![false; count],
            servers: BTreeMap::new(),
            waiting: vec![VecDeque::new(); count],
            waiters: 0,
            draining: false,
            log: Vec::new(),
        }
    }

    fn place_of(&self, id: PoolId) -> usize {
        self.ids.iter().position(|known| *known == id).expect("orders name pools that exist")
    }

    /// What happened since the last call.
    pub(crate) fn log(&mut self) -> String {
        std::mem::take(&mut self.log).join(" ")
    }

    // --- What clients do. ---

    pub(crate) fn checkout(&mut self, pool: usize, port: Port) -> Got {
        self.checkout_flavoured(pool, port, 0)
    }

    pub(crate) fn checkout_flavoured(&mut self, pool: usize, port: Port, flavour: u64) -> Got {
        self.waiters += 1;
        let waiter = Waiter { worker: 0, client: self.waiters };
        let (id, now) = (self.ids[pool], self.now);
        let got = match self.pools.checkout(id, port, waiter, Flavour(flavour), now) {
            Checkout::Ready(lease) => {
                assert!(self.waiting[pool].is_empty(), "nobody is overtaken");
                assert!(!self.draining && !self.paused[pool]);
                let server = lease.server;
                self.lend(port, lease);
                Got::Server(server)
            }
            Checkout::Wait(ticket) => {
                assert!(!self.draining);
                let deadline = now + self.settings.pool_timeout;
                self.waiting[pool].push_back(Waiting { waiter, ticket, port, deadline });
                Got::Waits(self.waiters)
            }
            Checkout::Refused(CheckoutError::Draining) => {
                assert!(self.draining);
                Got::Refused
            }
            Checkout::Refused(_) => Got::Refused,
        };
        self.settle();
        got
    }

    pub(crate) fn give_up(&mut self, pick: usize) {
        let all: Vec<_> = self.waiting.iter().flatten().copied().collect();
        let Some(one) = all.get(pick % all.len().max(1)) else { return };
        assert!(self.pools.give_up(one.ticket, Outcome::Disconnected, self.now));
        for queue in &mut self.waiting {
            queue.retain(|waiting| waiting.ticket != one.ticket);
        }
        assert!(!self.pools.give_up(one.ticket, Outcome::Disconnected, self.now), "only once");
        self.settle();
    }

    /// Clients whose names nobody has seen come and go, and leave nothing.
    pub(crate) fn visit(&mut self, name: u8) {
        let key = PoolKey { database: format!("visit{name}").into(), user: "u".into() };
        let before = self.view().pools.len();
        let id = self.pools.join(&key, Port::Session, settings);
        self.pools.leave(id, Port::Session);
        assert_eq!(self.view().pools.len(), before);
        self.settle();
    }

    // --- What the worker does. ---

    fn lend(&mut self, port: Port, lease: Lease<ServerId>) {
        let (lease, payload) = lease.split();
        assert_eq!(payload, lease.server, "the payload is the server's own");
        let (_, hand) = self.servers.get_mut(&payload).expect("a server that was dialed");
        assert!(matches!(hand, Hand::Idle), "{hand:?} was lent");
        *hand = Hand::Leased(port, lease);
    }

    pub(crate) fn in_state(&self, state: State) -> Vec<ServerId> {
        let there = self.servers.iter().filter(|(_, (_, hand))| hand.state() == state);
        there.map(|(id, _)| *id).collect()
    }

    pub(crate) fn count(&self, pool: usize) -> usize {
        self.servers.values().filter(|(of, _)| *of == pool).count()
    }

    pub(crate) fn waits(&self, pool: usize) -> usize {
        self.waiting[pool].len()
    }

    fn take_hand(&mut self, server: ServerId, next: Hand) -> Hand {
        let (_, hand) = self.servers.get_mut(&server).expect("it exists");
        std::mem::replace(hand, next)
    }

    /// What is under way with a server goes as hoped for, or not. A leased one is returned clean,
    /// or dirty.
    pub(crate) fn finish(&mut self, server: ServerId, well: bool, kind: FailureKind) {
        let now = self.now;
        match self.take_hand(server, Hand::Closing) {
            Hand::Dialing(dial) if well => {
                self.take_hand(server, Hand::Idle);
                self.pools.dialed(dial, server, Flavour(self.flavour), 7, now);
            }
            Hand::Dialing(dial) => self.pools.dial_failed(dial, failure(kind), now),
            Hand::Leased(_, lease) if !well => {
                assert!(self.pools.needs_reset(&lease, Hygiene::Dirty));
                self.pools.resetting(&lease, now);
                self.take_hand(server, Hand::Resetting(lease));
            }
            Hand::Leased(_, lease) | Hand::Resetting(lease) | Hand::Checking(lease) if well => {
                self.take_hand(server, Hand::Idle);
                self.pools.give_back(lease.with(server), now);
            }
            Hand::Leased(..) => unreachable!("both ways are above"),
            Hand::Resetting(_) => self.pools.closing(server, CloseReason::ResetFailed, now),
            Hand::Checking(_) => self.pools.closing(server, CloseReason::CheckFailed, now),
            Hand::Closing => {
                self.servers.remove(&server);
                self.pools.gone(server, now);
            }
            Hand::Idle => {
                // PostgreSQL ends an idle one; the other way is to let it be.
                if well {
                    self.take_hand(server, Hand::Idle);
                } else {
                    let payload = self.pools.take_ended(server, now);
                    assert_eq!(payload, Some(server));
                }
            }
        }
        self.settle();
    }

    pub(crate) fn finish_all(&mut self, state: State) {
        for server in self.in_state(state) {
            self.finish(server, true, FailureKind::Transient);
        }
    }

    pub(crate) fn finish_some(&mut self, pick: usize, well: bool, kind: FailureKind) {
        let all: Vec<_> = self.servers.keys().copied().collect();
        if let Some(server) = all.get(pick % all.len().max(1)) {
            self.finish(*server, well, kind);
        }
    }

    /// The connection of a leased server breaks.
    pub(crate) fn break_leased(&mut self, pick: usize) {
        let leased: Vec<_> =
            Port::ALL.iter().flat_map(|port| self.in_state(State::Leased(*port))).collect();
        let Some(server) = leased.get(pick % leased.len().max(1)) else { return };
        self.take_hand(*server, Hand::Closing);
        self.pools.closing(*server, CloseReason::Upstream, self.now);
        self.settle();
    }

    // --- What happens around. ---

    pub(crate) fn set_foreign(&mut self, foreign: u32) {
        let plan = self.pools.budget_mut().view().limits.plan.expect("it was set");
        self.budget = plan.saturating_sub(foreign);
        self.pools.budget_mut().census(census(foreign));
        self.pools.budget_changed(self.now);
        self.settle();
    }

    pub(crate) fn drain(&mut self) {
        self.draining = true;
        self.pools.drain(self.now);
        self.settle();
        assert!(self.waiting.iter().all(VecDeque::is_empty), "a drain refuses everybody");
        assert!(self.in_state(State::Idle).is_empty(), "a drain closes what is idle");
    }

    // --- What an operator does. ---

    /// Pauses one pool's database, or all.
    pub(crate) fn pause(&mut self, pool: Option<usize>) {
        self.pools.pause(&self.scope(pool), self.now).expect("few are paused");
        match pool {
            Some(pool) => self.paused[pool] = true,
            None => self.paused.fill(true),
        }
        self.settle();
    }

    /// Resumes everything, whatever was paused.
    pub(crate) fn resume(&mut self) {
        self.paused.fill(false);
        self.pools.resume(&Scope::All, self.now).expect("everything can be resumed");
        self.settle();
    }

    pub(crate) fn reconnect(&mut self, pool: Option<usize>) -> u32 {
        let retired = self.pools.reconnect(&self.scope(pool), self.now);
        self.settle();
        retired
    }

    /// The upstream is on another host.
    pub(crate) fn leave_host(&mut self, except: Option<ServerId>) -> u32 {
        let left = self.pools.leave_host(except, self.now);
        self.settle();
        left
    }

    /// A dial has failed, and another host is to be tried.
    pub(crate) fn go_on_dialing(&mut self, pick: usize) {
        let dialing = self.in_state(State::Dialing);
        let Some(server) = dialing.get(pick % dialing.len().max(1)).copied() else { return };
        let Hand::Dialing(dial) = self.take_hand(server, Hand::Closing) else { return };
        self.pools.dial_goes_on(dial, self.now);
        self.settle();
    }

    /// The pools may have other numbers of servers.
    pub(crate) fn resize(&mut self, pool_size: u32, max_overflow: u32) {
        self.settings.pool_size = pool_size;
        self.settings.max_overflow = max_overflow;
        let (settings, retry) = (self.settings.clone(), retry_settings());
        self.pools.set_settings(|_| settings.clone(), retry, self.now);
        self.settle();
    }

    /// Another plan.
    pub(crate) fn set_plan(&mut self, plan: u32) {
        let foreign = self.view().budget.foreign;
        self.budget = plan.saturating_sub(foreign);
        let ceilings = Ceilings { plan: Some(plan), connections: None, headroom: 0 };
        self.pools.set_ceilings(ceilings, self.now);
        self.settle();
    }

    pub(crate) fn scope(&self, pool: Option<usize>) -> Scope {
        pool.map_or(Scope::All, |pool| {
            Scope::Database(self.pools.key(self.ids[pool]).database.clone())
        })
    }

    /// Time passes, and the pools are called when they asked to be.
    pub(crate) fn advance(&mut self, by: Duration) {
        let target = self.now + by;
        for calls in 0.. {
            assert!(calls < 10_000, "the pools ask to be called all the time");
            let due = self.pools.next_timer().filter(|due| *due <= target);
            self.now = due.map_or(target, |due| due.max(self.now));
            if due.is_none() {
                break;
            }
            self.pools.tick(self.now);
            self.settle();
        }
    }

    pub(crate) fn view(&mut self) -> View {
        self.pools.view(self.now)
    }

    // --- Orders, and what must hold. ---

    fn settle(&mut self) {
        while let Some(order) = self.pools.next_order() {
            self.carry_out(order);
        }
        self.check();
    }

    fn carry_out(&mut self, order: Order<ServerId>) {
        match order {
            Order::Dial(dial) => {
                let (server, pool) = (dial.server, self.place_of(dial.pool));
                let count = u32::try_from(self.servers.len()).expect("few");
                assert!(count < self.budget, "{count} servers in a budget of {}", self.budget);
                let own = u32::try_from(self.count(pool)).expect("few");
                assert!(own < self.settings.servers_max(), "pool {pool} has {own} servers");
                assert!(!self.draining && !self.paused[pool]);
                let dialing = self
                    .servers
                    .values()
                    .filter(|(of, hand)| *of == pool && matches!(hand, Hand::Dialing(_)));
                assert!(dialing.count() < DIALS_PER_POOL_MAX as usize);
                self.log.push(format!("dial:{pool}"));
                assert!(self.servers.insert(server, (pool, Hand::Dialing(dial))).is_none());
            }
            Order::HandOff(waiter, ticket, lease) => {
                let pool = self.place_of(lease.pool);
                let first = self.waiting[pool].pop_front().expect("somebody waits");
                assert_eq!(
                    (first.waiter, first.ticket),
                    (waiter, ticket),
                    "first come, first served, on both ports"
                );
                assert!(!self.draining && !self.paused[pool]);
                self.log.push(format!("hand-off:{pool}:{}", waiter.client));
                self.lend(first.port, lease);
            }
            Order::Refuse(waiter, ticket, error) => {
                let queue = self
                    .waiting
                    .iter_mut()
                    .find(|queue| queue.iter().any(|waiting| waiting.waiter == waiter));
                let queue = queue.expect("each waiter ends once");
                let place = queue.iter().position(|waiting| waiting.waiter == waiter);
                let waiting = place.and_then(|place| queue.remove(place)).expect("just found");
                assert_eq!(waiting.ticket, ticket);
                let word = match error {
                    CheckoutError::Draining => "draining",
                    CheckoutError::Paused { .. } => "paused",
                    CheckoutError::Refused(_) => "refused",
                    CheckoutError::TimedOut { .. } => "timed-out",
                    CheckoutError::Unreachable(_) => "unreachable",
                    _ => "otherwise",
                };
                let waits_out = matches!(word, "paused" | "timed-out" | "unreachable");
                assert!(!waits_out || waiting.deadline <= self.now, "nobody ends too early");
                self.log.push(format!("{word}:{}", waiter.client));
            }
            Order::Check(lease) => {
                let (lease, server) = lease.split();
                self.log.push("check".into());
                let was = self.take_hand(server, Hand::Checking(lease));
                assert!(matches!(was, Hand::Idle), "{was:?} was to be checked");
            }
            Order::Close(lease, reason) => {
                let pool = self.place_of(lease.pool);
                self.log.push(format!("close:{pool}:{reason:?}"));
                if reason == CloseReason::Reconnect {
                    let closing = self
                        .servers
                        .values()
                        .filter(|(of, hand)| *of == pool && matches!(hand, Hand::Closing));
                    assert!(closing.count() < DIALS_PER_POOL_MAX as usize, "a wave");
                }
                let was = self.take_hand(lease.server, Hand::Closing);
                assert!(matches!(was, Hand::Idle), "{was:?} was to be closed");
            }
        }
    }

    fn check(&mut self) {
        let view = self.view();
        assert_eq!(view.budget.used as usize, self.servers.len(), "slots are servers");
        assert_eq!(view.budget.usable.connections, self.budget);
        for (pool, id) in self.ids.iter().enumerate() {
            let key = self.pools.key(*id);
            let found = view.pools.iter().find(|view| view.key == *key).expect("clients are in it");
            for state in State::ALL {
                let there =
                    self.servers.values().filter(|(of, hand)| *of == pool && hand.state() == state);
                assert_eq!(found.tally.in_state(state) as usize, there.count(), "{state:?}");
            }
            for port in Port::ALL {
                let tally = &found.tally.ports[port.index()];
                let waiting = self.waiting[pool].iter().filter(|waiting| waiting.port == port);
                assert_eq!(tally.waiting as usize, waiting.count());
                assert_eq!(tally.clients, 1);
            }
            let idle = found.tally.in_state(State::Idle);
            if self.paused[pool] {
                let moving = State::ALL.iter().filter(|state| {
                    !matches!(state, State::Idle | State::Closing)
                        && found.tally.in_state(**state) > 0
                });
                assert!(idle == 0 || moving.count() > 0, "idle while all else is at rest");
            } else {
                let waits = !self.waiting[pool].is_empty();
                assert!(idle == 0 || !waits, "one waits beside an idle server");
            }
            assert_eq!(found.is_paused, self.paused[pool]);
            let first = self.waiting[pool].front().map(|waiting| waiting.deadline);
            if let Some(deadline) = first {
                let due = self.pools.next_timer().unwrap_or(Tick::NEVER);
                assert!(due <= deadline, "a deadline would be missed");
            }
        }
        let totals = view.pools.iter().map(|pool| {
            let outcomes: u64 =
                pool.tally.ports.iter().flat_map(|port| &port.waits).map(|wait| wait.count()).sum();
            outcomes
        });
        let ended: u64 = totals.sum();
        let waiting: usize = self.waiting.iter().map(VecDeque::len).sum();
        assert_eq!(ended + waiting as u64, self.waiters, "each checkout ends exactly once");
    }
}
