//! Settings that change while the pools work: what bounds them, and how connecting is retried.
//!
//! Where a limit is lowered below what is open, idle servers are closed at once and the others when
//! they come back. Nobody's work is cut short, so for a while there may be more than the new limit
//! allows; nothing is opened meanwhile.

use std::time::Duration;

use tidegate_budget::budget::Ceilings;
use tidegate_wire::tick::Tick;

use crate::pools::Pools;
use crate::server::{CloseReason, PoolId, PoolKey, State};
use crate::settings::{PoolSettings, RetrySettings};

impl<S> Pools<S> {
    /// Puts other settings in force for each pool, and for dialing. Who waits already keeps the
    /// deadline that it was given.
    pub fn set_settings(
        &mut self,
        of: impl Fn(&PoolKey) -> PoolSettings,
        retry: RetrySettings,
        now: Tick,
    ) {
        self.resends.set_earns(retry.budget);
        self.retry.set_settings(retry);
        let ids: Vec<PoolId> = self.pools().map(|(id, _)| id).collect();
        for id in ids {
            let settings = of(&self.pool(id).key);
            let recycle = settings.pool_recycle;
            let was = std::mem::replace(&mut self.pool_mut(id).settings, settings);
            if was.pool_recycle != recycle {
                self.set_ages(id, recycle);
            }
            let has_surplus = |pools: &Self| pools.has_surplus(id);
            self.close_idle_while(has_surplus, Some(id), CloseReason::Limit, now);
        }
        self.feed(now);
        self.wake_at(now);
    }

    /// Other limits hold from now on.
    pub fn set_ceilings(&mut self, ceilings: Ceilings, now: Tick) {
        let before = self.budget.usable().connections;
        self.budget.set_ceilings(ceilings);
        let view = self.budget.view();
        let usable = view.usable.connections;
        self.is_over_limit = view.used > usable && (self.is_over_limit || usable < before);
        self.close_idle_while(Self::is_over, None, CloseReason::Limit, now);
        self.feed(now);
        self.wake_at(now);
    }

    /// Servers that are open have another age to reach.
    fn set_ages(&mut self, id: PoolId, recycle: Option<Duration>) {
        for place in 0..self.entries.len() {
            let jitter = self.retry.unit();
            if let Some((_, entry)) = &mut self.entries[place]
                && entry.pool == id
                && !entry.retired
            {
                entry.expires = expiry(entry.opened, recycle, jitter);
            }
        }
    }

    fn has_surplus(&self, id: PoolId) -> bool {
        let pool = self.pool(id);
        let open = pool.tally.total() - pool.tally.in_state(State::Closing);
        open > pool.settings.servers_max()
    }

    /// Whether more servers are open than a limit allows that was lowered. A budget that others'
    /// connections shrink takes nothing back.
    fn exceeds_limit(&self) -> bool {
        let closing: u32 = self.pools().map(|(_, pool)| pool.tally.in_state(State::Closing)).sum();
        self.budget.used().saturating_sub(closing) > self.budget.usable().connections
    }

    fn is_over(&self) -> bool {
        self.is_over_limit && self.exceeds_limit()
    }

    /// Whether the pool, or all together, have to give up a server that comes back.
    pub(super) fn must_shrink(&self, id: PoolId) -> bool {
        self.has_surplus(id) || self.is_over()
    }

    /// A backend has gone: perhaps the last one that was too many.
    pub(super) fn note_limit(&mut self) {
        if self.is_over_limit {
            let view = self.budget.view();
            self.is_over_limit = view.used > view.usable.connections;
        }
    }
}

/// When a server of this age limit is replaced. The last tenth is drawn: servers that were opened
/// together must not end together.
pub(super) fn expiry(opened: Tick, recycle: Option<Duration>, jitter: f64) -> Tick {
    recycle.map_or(Tick::NEVER, |age| opened + age.mul_f64(1.0 - 0.1 * jitter))
}
