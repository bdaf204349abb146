//! What time brings: waits that end, servers that are too old or too many, checks that are due.

use std::time::Duration;

use tidegate_wire::tick::Tick;

use crate::order::{CheckoutError, Order};
use crate::pools::{EVICT_IDLE_MIN, Event, FULL_PAUSE, Pools};
use crate::queue::Queue;
use crate::server::{CloseReason, Lease, PoolId, Port, ServerId, State};
use crate::settings::PrePing;
use crate::tally::Outcome;

impl<S> Pools<S> {
    /// When [`Pools::tick`] has something to do. May be early, is never late.
    pub fn next_timer(&self) -> Option<Tick> {
        (self.next_timer < Tick::NEVER).then_some(self.next_timer)
    }

    /// Ends waits whose time is up, closes and checks idle servers, dials what may be dialed
    /// again.
    pub fn tick(&mut self, now: Tick) {
        if now < self.next_timer {
            return;
        }
        let ids: Vec<PoolId> = self.pools().map(|(id, _)| id).collect();
        for id in &ids {
            self.end_waits(*id, now);
            self.tend_idle(*id, now);
        }
        self.feed(now);
        self.next_timer = Tick::NEVER;
        for id in ids {
            let due = self.pool_due(id, now);
            self.wake_at(due);
        }
    }

    pub(super) fn end_waits(&mut self, id: PoolId, now: Tick) {
        for port in Port::ALL {
            while let Some(waiting) = self.pool_mut(id).pop_expired(port, now) {
                self.waiting -= 1;
                let error = self.timed_out(id, now.since(waiting.since));
                let tally = &mut self.pool_mut(id).tally.ports[port.index()];
                tally.checkout_ended(Outcome::Timeout, waiting.since, now);
                self.orders.push_back(Order::Refuse(waiting.waiter, waiting.ticket, error));
            }
        }
    }

    /// The error for a client whose time is up: what kept it waiting, with the numbers.
    pub(super) fn timed_out(&mut self, id: PoolId, waited: Duration) -> CheckoutError {
        let budget = self.budget.view();
        let pool = self.pool(id);
        if pool.is_paused {
            return CheckoutError::Paused { waited, database: pool.key.database.clone() };
        }
        if pool.tally.live() == 0
            && let Some(failure) = self.retry.last()
        {
            return CheckoutError::Unreachable(failure.clone());
        }
        let refused = pool.refused.as_ref().map(|(failure, _)| failure.clone());
        CheckoutError::TimedOut {
            waited,
            leased: pool.tally.leased(),
            servers_max: pool.settings.servers_max(),
            waiting: pool.tally.waiting() + 1,
            budget: budget.usable.connections,
            budget_used: budget.used,
            foreign: budget.foreign,
            denied: pool.denied.clone(),
            failure: refused.or_else(|| self.retry.last().cloned()),
        }
    }

    pub(super) fn refuse_all(&mut self, id: PoolId, error: &CheckoutError, now: Tick) {
        while let Some((port, waiting)) = self.pool_mut(id).pop_waiting(now) {
            self.waiting -= 1;
            let tally = &mut self.pool_mut(id).tally.ports[port.index()];
            tally.checkout_ended(Outcome::Rejected, waiting.since, now);
            self.orders.push_back(Order::Refuse(waiting.waiter, waiting.ticket, error.clone()));
        }
    }

    /// Closes idle servers that are too old or too many, and has the others checked.
    pub(super) fn tend_idle(&mut self, id: PoolId, now: Tick) {
        if self.pool(id).is_paused {
            return; // It comes to rest by itself, and then nothing of it is idle.
        }
        for server in self.pool(id).idle.clone() {
            let Some(entry) = self.entry(server) else { continue };
            let (since, expires, checked) = (entry.since, entry.expires, entry.checked);
            let pool = self.pool(id);
            let settings = &pool.settings;
            let idle_for = now.since(since);
            // A server that is being made to replace another is not one more.
            let kept = pool.tally.total() - pool.tally.in_state(State::Closing);
            let kept = kept.saturating_sub(u32::from(pool.replacing.is_some()));
            let lingered = kept > settings.pool_size && idle_for >= settings.overflow_linger;
            let idled = settings.server_idle_timeout.is_some_and(|limit| idle_for >= limit);
            if lingered || idled {
                self.close_idle(server, CloseReason::Idle, now);
            } else if expires <= now {
                self.replace(id, server, now);
            } else if let PrePing::After(limit) = settings.pool_pre_ping
                && now.since(checked.max(since)) >= limit
            {
                self.check(server, now);
            }
        }
    }

    /// Replaces a server that is over its age: made before broken where the budget allows, one
    /// at a time.
    pub(super) fn replace(&mut self, id: PoolId, old: ServerId, now: Tick) {
        let reason = self.reason_to_replace(old);
        let pool = self.pool(id);
        if pool.replacing.is_some() || pool.tally.in_state(State::Closing) > 0 {
            return;
        }
        if reason == CloseReason::Reconnect && self.retry.next(now).is_some() {
            return;
        }
        let has_room = pool.tally.total() < pool.settings.servers_max();
        if has_room && self.may_dial(id, now) && self.dial(id, now).is_ok() {
            self.pool_mut(id).replacing = Some(old);
        } else {
            self.close_idle(old, reason, now);
        }
    }

    /// Why a server whose time is over is replaced: somebody wants it to be, or its age.
    pub(super) fn reason_to_replace(&self, server: ServerId) -> CloseReason {
        match self.entry(server) {
            Some(entry) if entry.retired => CloseReason::Reconnect,
            _ => CloseReason::Lifetime,
        }
    }

    pub(super) fn check(&mut self, server: ServerId, now: Tick) {
        let Some(entry) = self.entry_mut(server) else { return };
        let Some(payload) = entry.payload.take() else { return };
        entry.checked = now;
        let (pool, flavour) = (entry.pool, entry.flavour);
        self.pool_mut(pool).idle.retain(|idle| *idle != server);
        self.apply(server, Event::CheckDue, now);
        self.orders.push_back(Order::Check(Lease { server, pool, payload, flavour }));
    }

    /// When an idle server needs something next.
    pub(super) fn idle_due(&self, server: ServerId) -> Tick {
        let Some(entry) = self.entry(server) else { return Tick::NEVER };
        let pool = self.pool(entry.pool);
        let settings = &pool.settings;
        let mut due = entry.expires;
        if pool.tally.total() > settings.pool_size {
            due = due.min(entry.since + settings.overflow_linger);
        }
        if let Some(limit) = settings.server_idle_timeout {
            due = due.min(entry.since + limit);
        }
        if let PrePing::After(limit) = settings.pool_pre_ping {
            due = due.min(entry.checked.max(entry.since) + limit);
        }
        due
    }

    pub(super) fn pool_due(&self, id: PoolId, now: Tick) -> Tick {
        let pool = self.pool(id);
        let mut due = Tick::NEVER;
        for waiting in pool.queues.iter().filter_map(Queue::first) {
            due = due.min(waiting.deadline);
        }
        if pool.tally.waiting() > 0 && !pool.is_paused {
            due = due.min(self.retry.next(now).unwrap_or(Tick::NEVER));
            if pool.denied.is_some() {
                // A refusal passes, and idle servers of others become old enough to be taken.
                due = due.min(now + FULL_PAUSE.min(EVICT_IDLE_MIN));
            }
            if let Some((_, until)) = &pool.refused
                && *until > now
            {
                due = due.min(*until);
            }
        }
        for server in pool.idle.iter().filter(|_| !pool.is_paused) {
            // What could not be done now (one replacement at a time) is tried a little later.
            due = due.min(self.idle_due(*server).max(now + Duration::from_millis(100)));
        }
        due
    }

    pub(super) fn wake_at(&mut self, due: Tick) {
        self.next_timer = self.next_timer.min(due);
    }
}
