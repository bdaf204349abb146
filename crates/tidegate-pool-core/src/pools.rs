//! The pools of one upstream, their queues, and the decisions about them.
//!
//! - [`tending`]: what time brings: waits that end, idle servers that are closed or checked.
//! - [`dialing`]: who may open a server, and at whose cost.
//! - [`hosts`]: what follows from an upstream that has several hosts.
//! - [`operating`]: what an operator does: pause, resume, replace, close.
//! - [`sharing`]: another process takes over, and the slots go there one by one.
//! - [`limits`]: settings that change while the pools work.

mod tending;

mod dialing;

mod hosts;

pub mod operating;

mod limits;

mod sharing;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tidegate_budget::budget::{Budget, BudgetView, Denied};
use tidegate_wire::planted::{Bug, is_planted};
use tidegate_wire::tick::Tick;

use crate::order::{Checkout, CheckoutError, Dial, Order};
use crate::pool::{Pool, PoolView};
use crate::queue::{Queue, Ticket, Waiting};
use crate::resend::Resends;
use crate::retry::{DialFailure, FailureKind, PERMANENT_REMEMBERED, Retry};
use crate::server::{
    CloseReason, Entry, Flavour, Hygiene, Lease, PoolId, PoolKey, Port, ServerId, State, Waiter,
};
use crate::settings::{DIALS_PER_POOL_MAX, PoolSettings, ResetPolicy};
use crate::tally::{Outcome, Tally};

/// How many idle servers are looked at for one with the client's startup parameters. The hot end
/// of the stack is where they are; a longer search costs more than the round trip it may save.
const FLAVOUR_SEARCH_MAX: usize = 8;

/// An idle server is taken from a pool that has its fair share only after it was idle for this
/// long, so that two busy pools do not close and open servers in turn.
const EVICT_IDLE_MIN: Duration = Duration::from_secs(1);

/// The pause after the server said that it is full, while no census has said how full.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// Everything that the workers of one upstream share. `S` is what a worker keeps of a server: the
/// connection and its machine.
pub struct Pools<S> {
    budget: Budget,
    resends: Resends,
    retry: Retry,
    pools: Vec<Option<Pool>>,
    by_key: BTreeMap<PoolKey, PoolId>,
    entries: Vec<Option<(ServerId, Entry<S>)>>,
    free_entries: Vec<usize>,
    serial: u64,
    tickets: u64,
    /// Checkouts that wait, in all queues.
    waiting: usize,
    orders: VecDeque<Order<S>>,
    next_timer: Tick,
    draining: bool,
    pauses: operating::Pauses,
    /// A limit was lowered below what was open, and there is still more than it allows.
    is_over_limit: bool,
    /// Servers that were dialed, logged in, or have gone.
    changes: u64,
}

/// What happened to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Authenticated,
    CheckedOut(Port),
    CheckDue,
    Dirtied,
    Ended(CloseReason),
    Returned,
}

/// A transition that must not happen: our bug, never the peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("server {server}: {event} while {from}")]
pub struct BadTransition {
    server: u64,
    from: &'static str,
    event: &'static str,
}

/// A look at everything.
#[derive(Debug, Clone)]
pub struct View {
    /// When.
    pub now: Tick,
    /// The budget.
    pub budget: BudgetView,
    /// Dial failures in a row.
    pub failures: u32,
    /// The last dial failure, when none succeeded after it.
    pub last_failure: Option<DialFailure>,
    /// All pools.
    pub pools: Vec<PoolView>,
    /// Whether the gate shuts down.
    pub draining: bool,
    /// Whether an operator has paused everything.
    pub is_all_paused: bool,
    /// The databases that an operator has paused by their names.
    pub paused_databases: Vec<Arc<str>>,
}

impl<S> Pools<S> {
    /// No pools yet.
    pub fn new(budget: Budget, retry: Retry) -> Self {
        Self {
            budget,
            resends: Resends::new(retry.earns()),
            retry,
            pools: Vec::new(),
            by_key: BTreeMap::new(),
            entries: Vec::new(),
            free_entries: Vec::new(),
            serial: 0,
            tickets: 0,
            waiting: 0,
            orders: VecDeque::new(),
            next_timer: Tick::NEVER,
            draining: false,
            pauses: operating::Pauses::default(),
            is_over_limit: false,
            changes: 0,
        }
    }

    // --- Clients come and go. ---

    /// A client of `port` logs in to the pool `key`, which is made if need be. The pool exists at
    /// least until the client leaves.
    pub fn join(
        &mut self,
        key: &PoolKey,
        port: Port,
        settings: impl FnOnce() -> PoolSettings,
    ) -> PoolId {
        let id = match self.by_key.get(key) {
            Some(id) => *id,
            None => self.add_pool(key.clone(), settings()),
        };
        self.pool_mut(id).tally.ports[port.index()].clients += 1;
        id
    }

    /// A client that joined goes. It holds no lease and no ticket any more.
    pub fn leave(&mut self, pool: PoolId, port: Port) {
        self.pool_mut(pool).tally.ports[port.index()].clients -= 1;
        self.forget_if_unused(pool);
    }

    fn add_pool(&mut self, key: PoolKey, settings: PoolSettings) -> PoolId {
        let place = self.pools.iter().position(Option::is_none).unwrap_or_else(|| {
            self.pools.push(None);
            self.pools.len() - 1
        });
        let id = PoolId(u32::try_from(place).expect("fewer pools than clients exist"));
        self.pools[place] = Some(Pool {
            key: key.clone(),
            settings,
            is_paused: self.pauses.cover(&key.database),
            queues: [Queue::default(), Queue::default()],
            idle: Vec::new(),
            refused: None,
            denied: None,
            replacing: None,
            tally: Tally::new(),
        });
        self.by_key.insert(key, id);
        id
    }

    /// Names come from clients: a pool that nobody uses is not kept.
    fn forget_if_unused(&mut self, id: PoolId) {
        let tally = &self.pool(id).tally;
        let unused = tally.total() == 0 && tally.ports.iter().all(|port| port.clients == 0);
        // A pool that once worked keeps its counters as long as the process lives.
        if unused && tally.opened == 0 {
            let pool = self.pools[id.0 as usize].take().expect("it was just looked at");
            self.by_key.remove(&pool.key);
        }
    }

    // --- A client wants a server. ---

    /// A client asks for a server.
    pub fn checkout(
        &mut self,
        id: PoolId,
        port: Port,
        waiter: Waiter,
        flavour: Flavour,
        now: Tick,
    ) -> Checkout<S> {
        if let Some(error) = self.refusal(id, now) {
            self.pool_mut(id).tally.ports[port.index()].checkout_ended(Outcome::Rejected, now, now);
            return Checkout::Refused(error);
        }
        if self.pool(id).tally.waiting() == 0
            && !self.pool(id).is_paused
            && let Some(server) = self.pick_idle(id, flavour)
        {
            let lease = self.lease(server, port, now);
            self.pool_mut(id).tally.ports[port.index()].checkout_ended(Outcome::Ok, now, now);
            return Checkout::Ready(lease);
        }
        self.tickets += 1;
        let ticket = Ticket { number: self.tickets, pool: id };
        let pool = self.pool_mut(id);
        let deadline = now + pool.settings.pool_timeout;
        pool.queues[port.index()].push(Waiting { ticket, waiter, since: now, deadline });
        pool.queue_moved(port, now);
        pool.tally.ports[port.index()].queued += 1;
        self.waiting += 1;
        self.wake_at(deadline);
        // A pool that has all its servers may open no other, and no other pool needs more now.
        if self.pool(id).tally.total() < self.pool(id).settings.servers_max() {
            self.feed(now);
        }
        Checkout::Wait(ticket)
    }

    /// Why no checkout of this pool can succeed at present.
    fn refusal(&self, id: PoolId, now: Tick) -> Option<CheckoutError> {
        if self.draining {
            return Some(CheckoutError::Draining);
        }
        let pool = self.pool(id);
        match &pool.refused {
            Some((failure, until)) if now < *until && pool.tally.live() == 0 && !pool.is_paused => {
                Some(CheckoutError::Refused(failure.clone()))
            }
            _ => None,
        }
    }

    fn pick_idle(&mut self, id: PoolId, flavour: Flavour) -> Option<ServerId> {
        let idle = &self.pool(id).idle;
        let same =
            idle.iter().rev().take(FLAVOUR_SEARCH_MAX).position(|server| {
                self.entry(*server).is_some_and(|entry| entry.flavour == flavour)
            });
        let at = idle.len().checked_sub(1 + same.unwrap_or(0))?;
        Some(self.pool_mut(id).idle.remove(at))
    }

    /// A client gives up its place: it vanished, or it cancelled. False when it has none any
    /// more because an order that ends the wait is on its way.
    pub fn give_up(&mut self, ticket: Ticket, outcome: Outcome, now: Tick) -> bool {
        let Some(pool) = self.pools.get_mut(ticket.pool.0 as usize).and_then(Option::as_mut) else {
            return false;
        };
        for port in Port::ALL {
            if let Some(waiting) = pool.queues[port.index()].remove(ticket) {
                pool.tally.ports[port.index()].checkout_ended(outcome, waiting.since, now);
                pool.queue_moved(port, now);
                self.waiting -= 1;
                return true;
            }
        }
        false
    }

    // --- A client keeps its server. ---

    /// A client that has a lease keeps it past its transaction. False when too many do.
    pub fn pin(&mut self, pool: PoolId) -> bool {
        let pins_max = self.pins_max(pool);
        let pool = self.pool_mut(pool);
        if pool.tally.pinned >= pins_max {
            pool.tally.pins_refused += 1;
            return false;
        }
        pool.tally.pinned += 1;
        true
    }

    /// The most clients that may keep their server.
    pub fn pins_max(&self, pool: PoolId) -> u32 {
        self.pool(pool).settings.pins_max(self.budget.usable().connections)
    }

    /// A client that kept its server keeps it no more.
    pub fn unpin(&mut self, pool: PoolId) {
        self.pool_mut(pool).tally.pinned -= 1;
    }

    /// Whether one of the pool's servers may be lent to many at once, so that it serves nobody
    /// else: not the only one that there can be.
    pub fn may_lend(&self, pool: PoolId) -> bool {
        self.pool(pool).settings.servers_max() > 1 && self.budget.usable().connections > 1
    }

    /// A server of the pool listens for so many clients more, or fewer.
    pub fn listening(&mut self, pool: PoolId, before: u32, after: u32) {
        let tally = &mut self.pool_mut(pool).tally;
        tally.listening = tally.listening - before + after;
    }

    // --- A server comes back. ---

    /// Whether a lease that left `hygiene` behind must be reset before it is given back.
    pub fn needs_reset<T>(&self, lease: &Lease<T>, hygiene: Hygiene) -> bool {
        match self.pool(lease.pool).settings.reset {
            ResetPolicy::Auto => hygiene == Hygiene::Dirty,
            ResetPolicy::Always => true,
            ResetPolicy::Off => false,
        }
    }

    /// The lease has ended and the worker resets the server; [`Pools::give_back`] or
    /// [`Pools::closing`] follows.
    pub fn resetting<T>(&mut self, lease: &Lease<T>, now: Tick) {
        self.apply(lease.server, Event::Dirtied, now);
    }

    /// The server is clean and goes to the first waiter, or idles, or is closed by an order.
    pub fn give_back(&mut self, lease: Lease<S>, now: Tick) {
        self.resends.succeeded();
        if let Some(reason) = self.due_to_close(&lease, now) {
            let pool = lease.pool;
            self.close(lease, reason, now);
            self.rest(pool, now);
            return;
        }
        self.apply(lease.server, Event::Returned, now);
        self.place(lease, now);
    }

    /// Hands the server to the first waiter, or lets it idle. Its state is `Idle`.
    fn place(&mut self, lease: Lease<S>, now: Tick) {
        let id = lease.pool;
        if !self.pool(id).is_paused
            && let Some((port, waiting)) = self.pool_mut(id).pop_waiting(now)
        {
            self.waiting -= 1;
            self.pool_mut(id).tally.ports[port.index()].checkout_ended(
                Outcome::Ok,
                waiting.since,
                now,
            );
            if !is_planted(Bug::LostWaiter) {
                self.apply(lease.server, Event::CheckedOut(port), now);
                self.orders.push_back(Order::HandOff(waiting.waiter, waiting.ticket, lease));
                return;
            }
        }
        let Lease { server, pool, payload, flavour } = lease;
        if let Some(entry) = self.entry_mut(server) {
            entry.payload = Some(payload);
            entry.flavour = flavour;
        }
        self.pool_mut(pool).idle.push(server);
        let due = self.idle_due(server);
        self.wake_at(due);
        self.rest(pool, now);
        if self.is_anyone_waiting() {
            self.feed(now); // It may have to make room for another pool.
        }
    }

    fn due_to_close(&self, lease: &Lease<S>, now: Tick) -> Option<CloseReason> {
        if self.draining {
            return Some(CloseReason::Drain);
        }
        if self.excess() > 0 {
            return Some(CloseReason::Takeover);
        }
        let entry = self.entry(lease.server)?;
        let pool = self.pool(lease.pool);
        let closing = pool.tally.in_state(State::Closing);
        if entry.is_left {
            return Some(CloseReason::Moved);
        }
        if self.must_shrink(lease.pool) {
            return Some(CloseReason::Limit);
        }
        if entry.retired {
            let missing = closing + pool.tally.in_state(State::Dialing);
            let may_close = missing < DIALS_PER_POOL_MAX && self.retry.next(now).is_none();
            return (may_close && !pool.is_paused).then_some(CloseReason::Reconnect);
        }
        if entry.expires <= now && closing == 0 && !pool.is_paused {
            return Some(CloseReason::Lifetime);
        }
        self.owes_to_another(lease.pool, now).then_some(CloseReason::Evicted)
    }

    /// Whether `id` has more than its share of a full budget while another pool waits with less.
    fn owes_to_another(&self, id: PoolId, now: Tick) -> bool {
        if !self.is_anyone_waiting() || self.by_key.len() < 2 {
            return false;
        }
        let share = self.fair_share();
        if self.pool(id).tally.total() <= share {
            return false;
        }
        let closing: u32 = self.pools().map(|(_, pool)| pool.tally.in_state(State::Closing)).sum();
        let wanted: u32 = self
            .pools()
            .filter(|(other, pool)| {
                *other != id
                    && pool.wants() > 0
                    && pool.tally.total() < share
                    && matches!(pool.denied, Some(Denied::Upstream { .. } | Denied::Refused { .. }))
            })
            .map(|(_, pool)| pool.wants().min(share - pool.tally.total()))
            .sum();
        wanted > closing && self.retry.next(now).is_none()
    }

    /// The connections that each pool with work may claim.
    fn fair_share(&self) -> u32 {
        let busy = self.pools().filter(|(_, pool)| pool.has_work()).count();
        let busy = u32::try_from(busy).unwrap_or(u32::MAX).max(1);
        (self.budget.usable().connections / busy).max(1)
    }

    // --- Servers are opened and end. ---

    /// A server has logged in. `pid` is that of its backend, as the upstream gave it.
    pub fn dialed(&mut self, dial: Dial, payload: S, flavour: Flavour, pid: u32, now: Tick) {
        self.retry.succeeded();
        self.changes += 1;
        let Dial { server, pool: id, .. } = dial;
        let connect_time = self.entry(server).map(|entry| now.since(entry.opened));
        let recycle = self.pool(id).settings.pool_recycle;
        let jitter = self.retry.unit();
        if let Some(entry) = self.entry_mut(server) {
            entry.pid = pid;
            entry.checked = now;
            if !entry.retired {
                entry.expires = limits::expiry(now, recycle, jitter);
            }
        }
        let pool = self.pool_mut(id);
        pool.refused = None;
        pool.denied = None;
        pool.tally.opened += 1;
        if let Some(time) = connect_time {
            pool.tally.connects.observe(time);
        }
        let replaced = pool.replacing.take();
        self.apply(server, Event::Authenticated, now);
        if let Some(old) = replaced {
            let reason = self.reason_to_replace(old);
            self.close_idle(old, reason, now);
        }
        let lease = Lease { server, pool: id, payload, flavour };
        if self.draining {
            self.close(lease, CloseReason::Drain, now);
        } else if self.excess() > 0 {
            self.close(lease, CloseReason::Takeover, now);
        } else if self.must_shrink(id) {
            self.close(lease, CloseReason::Limit, now);
        } else {
            self.place(lease, now);
        }
        self.feed(now);
    }

    /// A dial has failed. The slot is held until [`Pools::gone`], which the worker calls once the
    /// connection, if there was one, has ended.
    pub fn dial_failed(&mut self, dial: Dial, failure: DialFailure, now: Tick) {
        let Dial { server, pool: id, .. } = dial;
        self.apply(server, Event::Ended(CloseReason::DialFailed), now);
        let pool = self.pool_mut(id);
        pool.replacing = None;
        pool.tally.dial_failures[failure.kind as usize] += 1;
        match failure.kind {
            FailureKind::Full => {
                // Those that have not logged in: being dialed, or refused and not gone yet.
                let refused = self.entries.iter().flatten().filter(|(_, entry)| entry.pid == 0);
                let refused = u32::try_from(refused.count()).unwrap_or(u32::MAX);
                let until = now + FULL_PAUSE.mul_f64(1.0 + self.retry.unit());
                self.budget.server_is_full(refused, until);
                self.wake_at(until);
            }
            FailureKind::Permanent => {
                let until = now + PERMANENT_REMEMBERED;
                self.pool_mut(id).refused = Some((failure.clone(), until));
                self.wake_at(until);
                if self.pool(id).tally.live() == 0 {
                    self.refuse_all(id, &CheckoutError::Refused(failure), now);
                }
            }
            FailureKind::Transient => {
                let next = self.retry.failed(failure, now);
                self.wake_at(next);
            }
        }
        self.rest(id, now);
    }

    /// The server in a worker's hands has ended or is being taken leave of. Its slot is held
    /// until [`Pools::gone`].
    pub fn closing(&mut self, server: ServerId, reason: CloseReason, now: Tick) {
        self.apply(server, Event::Ended(reason), now);
        if let Some(pool) = self.entry(server).map(|entry| entry.pool) {
            self.rest(pool, now);
        }
        self.feed(now); // A waiter may have counted on it.
    }

    /// The backend of a server has gone; its slot is free.
    pub fn gone(&mut self, server: ServerId, now: Tick) {
        let place = server.place();
        let known = self.entries.get(place).and_then(Option::as_ref);
        if known.is_none_or(|(id, _)| *id != server) {
            return;
        }
        let Some((_, entry)) = self.entries[place].take() else { return };
        self.free_entries.push(place);
        self.changes += 1;
        self.pool_mut(entry.pool).tally.left(entry.state);
        drop(entry.payload);
        let pool = entry.pool;
        drop(entry._slot);
        self.note_limit();
        self.feed(now);
        self.renew(pool, now);
        self.forget_if_unused(pool);
    }

    /// The payload of an idle server, for what arrives while nobody has it.
    pub fn idle_mut(&mut self, server: ServerId) -> Option<&mut S> {
        self.entry_mut(server)?.payload.as_mut()
    }

    /// Takes an idle server out of its pool because it has ended. [`Pools::gone`] follows.
    pub fn take_ended(&mut self, server: ServerId, now: Tick) -> Option<S> {
        let pool = self.entry(server)?.pool;
        let payload = self.entry_mut(server)?.payload.take()?;
        self.pool_mut(pool).idle.retain(|idle| *idle != server);
        self.apply(server, Event::Ended(CloseReason::Upstream), now);
        Some(payload)
    }

    fn close(&mut self, lease: Lease<S>, reason: CloseReason, now: Tick) {
        self.apply(lease.server, Event::Ended(reason), now);
        self.orders.push_back(Order::Close(lease, reason));
    }

    /// Closes a server if it is idle.
    fn close_idle(&mut self, server: ServerId, reason: CloseReason, now: Tick) {
        let Some(lease) = self.idle_lease(server) else { return };
        self.pool_mut(lease.pool).idle.retain(|idle| *idle != server);
        self.close(lease, reason, now);
    }

    /// Closes idle servers, of one pool or of all, the longest idle first, as long as there are too
    /// many.
    fn close_idle_while(
        &mut self,
        are_too_many: impl Fn(&Self) -> bool,
        of: Option<PoolId>,
        reason: CloseReason,
        now: Tick,
    ) {
        while are_too_many(self) {
            let pools = self.pools().filter(|(id, _)| of.is_none_or(|of| of == *id));
            let idle = pools.flat_map(|(_, pool)| pool.idle.iter());
            let since = idle.filter_map(|server| Some((self.entry(*server)?.since, *server)));
            let Some((_, server)) = since.min() else { return };
            self.close_idle(server, reason, now);
        }
    }

    /// An idle server, for what is to be done with it; its state and its place in the list of idle
    /// ones are the caller's.
    fn idle_lease(&mut self, server: ServerId) -> Option<Lease<S>> {
        let entry = self.entry_mut(server)?;
        let payload = entry.payload.take()?;
        Some(Lease { server, pool: entry.pool, payload, flavour: entry.flavour })
    }

    // --- The rest. ---

    /// The next thing for the calling worker to do.
    pub fn next_order(&mut self) -> Option<Order<S>> {
        self.orders.pop_front()
    }

    /// The budget, for the census and for connections that are nobody's pool's.
    pub fn budget_mut(&mut self) -> &mut Budget {
        &mut self.budget
    }

    /// The budget has changed: whoever waits may be dialed for now.
    pub fn budget_changed(&mut self, now: Tick) {
        self.feed(now);
    }

    /// The upstream could not be reached for a purpose other than a pool's (the census); waiters
    /// are told this cause when their time is up.
    pub fn upstream_failed(&mut self, failure: DialFailure, now: Tick) {
        let next = self.retry.failed(failure, now);
        self.wake_at(next);
    }

    /// The upstream was reached anew for a purpose other than a pool's.
    pub fn upstream_answered(&mut self, now: Tick) {
        self.retry.succeeded();
        self.feed(now);
    }

    /// Process ids of all backends that are ours, for the census to tell them from others'.
    pub fn pids(&self) -> Vec<u32> {
        let known = self.entries.iter().flatten().map(|(_, entry)| entry.pid);
        known.filter(|pid| *pid != 0).collect()
    }

    /// Counts what may change [`Pools::pids`], or how many slots are held.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// From now on nobody gets a server; waiters are refused, idle servers closed.
    pub fn drain(&mut self, now: Tick) {
        self.draining = true;
        let ids: Vec<PoolId> = self.pools().map(|(id, _)| id).collect();
        for id in ids {
            if !is_planted(Bug::DrainForgetsWaiters) {
                self.refuse_all(id, &CheckoutError::Draining, now);
            }
            for server in self.pool(id).idle.clone() {
                self.close_idle(server, CloseReason::Drain, now);
            }
        }
    }

    /// A look at everything, for metrics and status. Costs a copy of each pool's tally.
    pub fn view(&mut self, now: Tick) -> View {
        View {
            now,
            budget: self.budget.view(),
            failures: self.retry.failures(),
            last_failure: self.retry.last().cloned(),
            pools: self.pools().map(|(_, pool)| pool.view(now)).collect(),
            draining: self.draining,
            is_all_paused: self.pauses.is_all,
            paused_databases: self.pauses.databases.iter().cloned().collect(),
        }
    }

    /// How many servers there are that do not idle, so that some worker must have them in hand;
    /// and how many checkouts wait, so that some client must.
    pub fn at_large(&self) -> (usize, usize) {
        let entries = self.entries.iter().flatten();
        (entries.filter(|(_, entry)| entry.payload.is_none()).count(), self.waiting)
    }

    /// The database and role of a pool.
    pub fn key(&self, pool: PoolId) -> &PoolKey {
        &self.pool(pool).key
    }

    /// The settings of a pool.
    pub fn settings(&self, pool: PoolId) -> &PoolSettings {
        &self.pool(pool).settings
    }

    /// The last dial failure, when none succeeded after it.
    pub fn last_failure(&self) -> Option<&DialFailure> {
        self.retry.last()
    }

    /// Dial failures in a row.
    pub fn failures(&self) -> u32 {
        self.retry.failures()
    }

    /// A batch whose server has died is to go to another. False: too many were of late.
    #[must_use]
    pub fn may_send_again(&mut self) -> bool {
        self.resends.take()
    }

    fn lease(&mut self, server: ServerId, port: Port, now: Tick) -> Lease<S> {
        let entry = self.entry_mut(server).expect("servers in an idle list exist");
        let payload = entry.payload.take().expect("an idle server has its payload");
        let (pool, flavour) = (entry.pool, entry.flavour);
        self.apply(server, Event::CheckedOut(port), now);
        Lease { server, pool, payload, flavour }
    }

    /// The only function that writes a server's state. It moves the tally with it.
    fn apply(&mut self, server: ServerId, event: Event, now: Tick) {
        let Some((_, entry)) = self.entries.get_mut(server.place()).and_then(Option::as_mut) else {
            return;
        };
        let next = match next_state(entry.state, event) {
            Ok(next) => next,
            Err((from, event)) => {
                let bad = BadTransition { server: server.number(), from, event };
                debug_assert!(false, "{bad}");
                State::Closing
            }
        };
        let pool = self.pools[entry.pool.0 as usize].as_mut().expect("its servers keep a pool");
        if let State::Leased(port) = entry.state {
            pool.tally.ports[port.index()].holds.observe(now.since(entry.since));
        }
        if next == State::Closing && entry.state != State::Closing {
            let reason = match event {
                Event::Ended(reason) => reason,
                _ => CloseReason::Bug,
            };
            pool.tally.closed[reason.index()] += 1;
        }
        pool.tally.left(entry.state);
        pool.tally.arrived(next);
        entry.state = next;
        entry.since = now;
    }

    fn is_anyone_waiting(&self) -> bool {
        self.waiting > 0
    }

    fn pools(&self) -> impl Iterator<Item = (PoolId, &Pool)> {
        let numbered = self.pools.iter().enumerate();
        numbered.filter_map(|(place, pool)| Some((PoolId(place as u32), pool.as_ref()?)))
    }

    fn pool(&self, id: PoolId) -> &Pool {
        self.pools[id.0 as usize].as_ref().expect("whoever has a pool's id has joined it")
    }

    fn pool_mut(&mut self, id: PoolId) -> &mut Pool {
        self.pools[id.0 as usize].as_mut().expect("whoever has a pool's id has joined it")
    }

    fn entry(&self, server: ServerId) -> Option<&Entry<S>> {
        let (id, entry) = self.entries.get(server.place())?.as_ref()?;
        (*id == server).then_some(entry)
    }

    fn entry_mut(&mut self, server: ServerId) -> Option<&mut Entry<S>> {
        let (id, entry) = self.entries.get_mut(server.place())?.as_mut()?;
        (*id == server).then_some(entry)
    }
}

/// The transitions, as the diagram of [`State`] draws them.
fn next_state(from: State, event: Event) -> Result<State, (&'static str, &'static str)> {
    match (from, event) {
        (State::Dialing, Event::Authenticated) => Ok(State::Idle),
        (State::Idle, Event::CheckedOut(port)) => Ok(State::Leased(port)),
        (State::Idle, Event::CheckDue) => Ok(State::Checking),
        (State::Leased(_), Event::Returned) => Ok(State::Idle),
        // A recovery is followed by a reset.
        (State::Leased(_) | State::Resetting, Event::Dirtied) => Ok(State::Resetting),
        (State::Resetting | State::Checking, Event::Returned) => Ok(State::Idle),
        (_, Event::Ended(_)) => Ok(State::Closing), // Both ends may hang up.
        (from, event) => Err((from.as_str(), event.as_str())),
    }
}

impl Event {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Authenticated => "authenticated",
            Self::CheckedOut(_) => "checked out",
            Self::CheckDue => "check due",
            Self::Dirtied => "dirtied",
            Self::Ended(_) => "ended",
            Self::Returned => "returned",
        }
    }
}
