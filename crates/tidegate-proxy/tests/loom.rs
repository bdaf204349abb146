//! Two workers, in every order in which their threads can come: what one hands to the other arrives, or
//! comes back, and each slot is counted once.
//!
//! What is tried is what the workers have in common: the pools and their budget, the lock before them
//! and what is taken over under it, mail, and what wakes whom. What a worker does with an order or a piece of
//! mail is told here in a line each, as `worker.rs` does it with sockets.

// As in the crate, but for what locks are made of.
#[path = "../src/locks.rs"]
mod locks;
#[path = "../src/post.rs"]
mod post;
mod sync {
    pub(crate) use loom::sync::{Mutex, MutexGuard};
}

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use loom::sync::Condvar;
use loom::thread;

use tidegate_budget::budget::{Budget, Census, Purpose};
use tidegate_budget::limits::{Limits, Server};
use tidegate_pool_core::order::{Checkout, Order};
use tidegate_pool_core::pools::Pools;
use tidegate_pool_core::queue::Ticket;
use tidegate_pool_core::retry::Retry;
use tidegate_pool_core::server::{
    CloseReason, Flavour, Lease, PoolId, PoolKey, Port, ServerId, Waiter,
};
use tidegate_pool_core::settings::{
    AnswerProbes, PoolSettings, PrePing, ResetPolicy, RetrySettings,
};
use tidegate_pool_core::tally::Outcome;
use tidegate_wire::tick::Tick;

use locks::lock;
use post::Post;
use sync::Mutex;

/// Changes of threads where neither waits for the other: most faults need one or two.
const PREEMPTIONS_MAX: usize = 3;

const NOW: Tick = Tick::ZERO;

enum Mail {
    HandOff(u64, Ticket, Lease<()>),
    Refuse(u64, Ticket),
}

/// Where a worker is reached, and what it sleeps on: as an event of the kernel, a wake-up that comes
/// while it is awake is not lost.
struct Mailbox {
    post: Post<Mail>,
    is_woken: Mutex<bool>,
    bell: Condvar,
}

impl Mailbox {
    fn new() -> Self {
        Self { post: Post::new(), is_woken: Mutex::new(false), bell: Condvar::new() }
    }

    fn put(&self, mail: Mail) {
        self.post.put(mail, || {
            *lock(&self.is_woken) = true;
            self.bell.notify_one();
        });
    }

    fn sleep(&self) {
        let mut is_woken = lock(&self.is_woken);
        while !std::mem::take(&mut *is_woken) {
            is_woken = self.bell.wait(is_woken).expect("nobody panics");
        }
    }
}

/// What the workers share.
struct Shared {
    pools: Mutex<Pools<()>>,
    mailboxes: [Mailbox; 2],
    pool: PoolId,
    limit: u32,
    /// Connections that are open, from dialing until the backend has gone.
    open: AtomicU32,
}

impl Shared {
    /// A budget of so many connections, all of which one pool may have.
    fn new(limit: u32) -> Arc<Self> {
        let mut budget = Budget::new(Limits {
            plan: Some(limit),
            connections: None,
            headroom: 0,
            control: 0,
            server: Server::Unasked,
        });
        budget.census(Census::unknown());
        let retry = RetrySettings {
            attempts: 3,
            multiplier: Duration::from_secs(1),
            min: Duration::from_secs(2),
            max: Duration::from_secs(10),
            jitter: true,
            budget: 0.1,
        };
        let settings = PoolSettings {
            pool_size: limit,
            max_overflow: 0,
            pool_timeout: Duration::from_secs(30),
            pool_recycle: None,
            pool_pre_ping: PrePing::Off,
            answer_probes: AnswerProbes::Begin,
            pins_max: None,
            overflow_linger: Duration::from_secs(10),
            server_idle_timeout: None,
            reset: ResetPolicy::Auto,
        };
        let mut pools = Pools::new(budget, Retry::new(retry, 1));
        let key = PoolKey { database: "app".into(), user: "app".into() };
        let pool = pools.join(&key, Port::Transaction, || settings);
        Arc::new(Self {
            pools: Mutex::new(pools),
            mailboxes: [Mailbox::new(), Mailbox::new()],
            pool,
            limit,
            open: AtomicU32::new(0),
        })
    }

    fn opens(&self) {
        let before = self.open.fetch_add(1, Ordering::SeqCst);
        assert!(before < self.limit, "one connection more than the budget has");
    }

    fn ends(&self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

enum Client {
    Waits(Ticket),
    Has(Lease<()>),
}

impl Client {
    fn waits_with(&self, ticket: Ticket) -> bool {
        matches!(self, Self::Waits(own) if *own == ticket)
    }
}

struct Worker {
    index: u16,
    shared: Arc<Shared>,
    orders: VecDeque<Order<()>>,
    clients: BTreeMap<u64, Client>,
}

impl Worker {
    fn new(index: u16, shared: &Arc<Shared>) -> Self {
        let shared = shared.clone();
        Self { index, shared, orders: VecDeque::new(), clients: BTreeMap::new() }
    }

    fn call<R>(&mut self, call: impl FnOnce(&mut Pools<()>) -> R) -> R {
        let result = post::call(&self.shared.pools, &mut self.orders, call);
        self.carry_out();
        result
    }

    fn carry_out(&mut self) {
        while let Some(order) = self.orders.pop_front() {
            match order {
                Order::Check(lease) => self.give_back(lease),
                Order::Close(lease, _) => self.gone(lease.server),
                Order::Dial(dial) => {
                    self.shared.opens();
                    self.call(|pools| pools.dialed(dial, (), Flavour::default(), 7, NOW));
                }
                Order::HandOff(waiter, ticket, lease) if waiter.worker == self.index => {
                    self.handed_off(waiter.client, ticket, lease);
                }
                Order::HandOff(waiter, ticket, lease) => {
                    self.mail(waiter, Mail::HandOff(waiter.client, ticket, lease));
                }
                Order::Refuse(waiter, ticket, _) if waiter.worker == self.index => {
                    self.refused(waiter.client, ticket);
                }
                Order::Refuse(waiter, ticket, _) => {
                    self.mail(waiter, Mail::Refuse(waiter.client, ticket));
                }
            }
        }
    }

    fn mail(&self, waiter: Waiter, mail: Mail) {
        self.shared.mailboxes[usize::from(waiter.worker)].put(mail);
    }

    fn read_mail(&mut self) {
        let shared = self.shared.clone();
        while let Some(mail) = shared.mailboxes[usize::from(self.index)].post.take() {
            match mail {
                Mail::HandOff(client, ticket, lease) => self.handed_off(client, ticket, lease),
                Mail::Refuse(client, ticket) => self.refused(client, ticket),
            }
        }
    }

    fn sleep(&self) {
        self.shared.mailboxes[usize::from(self.index)].sleep();
    }

    fn checkout(&mut self, client: u64) {
        let (pool, waiter) = (self.shared.pool, Waiter { worker: self.index, client });
        let checkout = post::call(&self.shared.pools, &mut self.orders, |pools| {
            pools.checkout(pool, Port::Transaction, waiter, Flavour::default(), NOW)
        });
        let now = match checkout {
            Checkout::Ready(lease) => Client::Has(lease),
            Checkout::Wait(ticket) => Client::Waits(ticket),
            Checkout::Refused(error) => panic!("{error}"),
        };
        self.clients.insert(client, now);
        self.carry_out();
    }

    /// A server for a client, which may have gone meanwhile.
    fn handed_off(&mut self, client: u64, ticket: Ticket, lease: Lease<()>) {
        match self.clients.get_mut(&client) {
            Some(waits) if waits.waits_with(ticket) => *waits = Client::Has(lease),
            _ => self.give_back(lease),
        }
    }

    fn refused(&mut self, client: u64, ticket: Ticket) {
        if self.clients.get(&client).is_some_and(|client| client.waits_with(ticket)) {
            self.clients.remove(&client);
        }
    }

    fn give_back(&mut self, lease: Lease<()>) {
        self.call(|pools| pools.give_back(lease, NOW));
    }

    fn gone(&mut self, server: ServerId) {
        self.shared.ends();
        self.call(|pools| pools.gone(server, NOW));
    }

    /// A client ends its transaction, or is no more.
    fn parts(&mut self, client: u64) {
        match self.clients.remove(&client) {
            Some(Client::Has(lease)) => self.give_back(lease),
            Some(Client::Waits(ticket)) => {
                // False where a server is on its way: it will find that nobody waits.
                self.call(|pools| pools.give_up(ticket, Outcome::Disconnected, NOW));
            }
            None => {}
        }
    }

    /// A client's server ends.
    fn breaks(&mut self, client: u64) {
        if let Some(Client::Has(lease)) = self.clients.remove(&client) {
            self.call(|pools| pools.closing(lease.server, CloseReason::Upstream, NOW));
            self.gone(lease.server);
        }
    }

    fn has(&self, client: u64) -> bool {
        matches!(self.clients.get(&client), Some(Client::Has(_)))
    }
}

/// Tries it in all orders.
fn explore(run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS_MAX);
    builder.max_branches = 10_000;
    builder.check(run);
}

/// Both workers do what is left to do: then all that is open is idle or with a client, and counted once.
fn nothing_is_lost(shared: &Shared, workers: [&mut Worker; 2]) {
    let [first, second] = workers;
    first.read_mail();
    second.read_mail();
    first.read_mail();
    shared.mailboxes.iter().for_each(|mailbox| mailbox.post.look(|_| panic!("mail is left")));
    let workers = [first, second];
    let held = workers.iter().flat_map(|worker| worker.clients.values());
    let held = held.filter(|client| matches!(client, Client::Has(_))).count();
    let waiting = workers.iter().map(|worker| worker.clients.len()).sum::<usize>() - held;
    let mut pools = lock(&shared.pools);
    assert_eq!(pools.at_large(), (held, waiting), "each server is idle or with a client");
    let open = shared.open.load(Ordering::SeqCst);
    assert_eq!(pools.budget_mut().view().used, open, "each open connection has one slot");
    assert!(waiting == 0 || open == shared.limit, "nobody waits while there is room");
}

#[test]
fn a_server_for_a_client_that_vanishes_comes_back() {
    explore(|| {
        let shared = Shared::new(1);
        let mut first = Worker::new(0, &shared);
        let mut second = Worker::new(1, &shared);
        first.checkout(1);
        second.checkout(2);
        assert!(first.has(1) && !second.has(2));
        let other = thread::spawn(move || {
            second.parts(2);
            second.read_mail();
            second
        });
        first.parts(1);
        let mut second = other.join().expect("it ends");
        nothing_is_lost(&shared, [&mut first, &mut second]);
        first.checkout(3);
        assert!(first.has(3), "it came back");
    });
}

/// A worker that waits for nothing but mail is woken when there is some. Where it were not, loom would
/// find that nobody can go on.
#[test]
fn a_worker_is_woken_for_each_server_that_comes() {
    explore(|| {
        let shared = Shared::new(1);
        let mut first = Worker::new(0, &shared);
        let mut second = Worker::new(1, &shared);
        first.checkout(1);
        let other = thread::spawn(move || {
            for client in [2, 3] {
                second.checkout(client);
                while !second.has(client) {
                    second.sleep();
                    second.read_mail();
                }
                second.parts(client);
            }
            second
        });
        first.parts(1);
        first.checkout(4);
        while !first.has(4) {
            first.sleep();
            first.read_mail();
        }
        first.parts(4);
        let mut second = other.join().expect("it ends");
        nothing_is_lost(&shared, [&mut first, &mut second]);
    });
}

/// A server that ends gives its slot to whoever waits, in either worker, and no slot is given twice.
#[test]
fn a_slot_is_counted_once_when_servers_end_and_are_wanted() {
    explore(|| {
        let shared = Shared::new(2);
        let mut first = Worker::new(0, &shared);
        let mut second = Worker::new(1, &shared);
        first.checkout(1);
        second.checkout(2);
        let other = thread::spawn(move || {
            second.breaks(2);
            second.checkout(3);
            second
        });
        first.checkout(4);
        first.breaks(1);
        let mut second = other.join().expect("it ends");
        nothing_is_lost(&shared, [&mut first, &mut second]);
        assert!(first.has(4) && second.has(3), "there is one for each");
    });
}

/// The census's slot is dropped with no lock held, beside a worker that takes and gives back others.
#[test]
fn a_slot_that_is_dropped_anywhere_comes_back_once() {
    explore(|| {
        let shared = Shared::new(2);
        let mut first = Worker::new(0, &shared);
        let mut second = Worker::new(1, &shared);
        let (app, now) = (Arc::from("app"), NOW);
        let slot = first.call(|pools| pools.budget_mut().take(&app, &app, Purpose::Control, now));
        let slot = slot.expect("one of two");
        shared.opens();
        second.checkout(2);
        let other = thread::spawn(move || {
            second.breaks(2);
            second.checkout(3);
            second
        });
        shared.ends();
        drop(slot);
        first.checkout(1);
        let mut second = other.join().expect("it ends");
        nothing_is_lost(&shared, [&mut first, &mut second]);
        assert!(first.has(1) && second.has(3), "there is one for each");
    });
}
