//! Who may open a server, and at whose cost.

use tidegate_budget::budget::{Denied, Purpose};
use tidegate_wire::tick::Tick;

use crate::order::{Dial, Order};
use crate::pool::Pool;
use crate::pools::{EVICT_IDLE_MIN, Pools};
use crate::server::{CloseReason, Entry, Flavour, PoolId, ServerId, State};
use crate::settings::DIALS_PER_POOL_MAX;

impl<S> Pools<S> {
    /// Dials for pools that wait, and takes idle servers from others where the budget is full.
    pub(super) fn feed(&mut self, now: Tick) {
        if !self.is_anyone_waiting() || self.draining {
            return;
        }
        // Whoever has less than its share comes first: a slot that was freed for it must not go
        // to the pool that has most of them and waits for longest.
        let share = self.fair_share();
        let mut hungry: Vec<(bool, Tick, PoolId)> = self
            .pools()
            .filter(|(_, pool)| pool.wants() > 0)
            .map(|(id, pool)| (pool.tally.total() >= share, pool.oldest_wait_since(), id))
            .collect();
        hungry.sort_unstable();
        for (_, _, id) in hungry {
            while self.pool(id).wants() > 0 && self.may_dial(id, now) {
                if let Err(denied) = self.dial(id, now) {
                    self.make_room(id, &denied, now);
                    // Others' idle servers become old enough to be taken.
                    self.wake_at(now + EVICT_IDLE_MIN);
                    let pool = self.pool_mut(id);
                    if pool.denied.as_ref() != Some(&denied) {
                        pool.tally.denied += 1;
                    }
                    pool.denied = Some(denied);
                    break;
                }
            }
        }
    }

    /// Servers of all pools that are being opened.
    pub fn dialing(&self) -> u32 {
        self.pools().map(|(_, pool)| pool.tally.in_state(State::Dialing)).sum()
    }

    pub(super) fn may_dial(&self, id: PoolId, now: Tick) -> bool {
        let pool = self.pool(id);
        let dialing = self.dialing();
        let refused = pool.refused.as_ref().is_some_and(|(_, until)| now < *until);
        pool.tally.total() < pool.settings.servers_max()
            && pool.tally.in_state(State::Dialing) < DIALS_PER_POOL_MAX
            && !refused
            && self.retry.permits(dialing, now)
    }

    pub(super) fn dial(&mut self, id: PoolId, now: Tick) -> Result<(), Denied> {
        let key = self.pool(id).key.clone();
        let slot = self.budget.take(&key.database, &key.user, Purpose::Pool, now)?;
        self.serial += 1;
        self.changes += 1;
        let place = self.free_entries.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() - 1
        });
        let server = ServerId(self.serial << ServerId::PLACE_BITS | place as u64);
        let entry = Entry {
            pool: id,
            state: State::Dialing,
            since: now,
            opened: now,
            expires: Tick::NEVER,
            checked: now,
            pid: 0,
            flavour: Flavour::default(),
            payload: None,
            retired: false,
            is_left: false,
            _slot: slot,
        };
        self.entries[place] = Some((server, entry));
        self.pool_mut(id).tally.arrived(State::Dialing);
        self.orders.push_back(Order::Dial(Dial { server, pool: id, key }));
        Ok(())
    }

    /// Closes the longest idle server of another pool whose end would let `id` dial.
    pub(super) fn make_room(&mut self, id: PoolId, denied: &Denied, now: Tick) {
        let closing: u32 = self.pools().map(|(_, pool)| pool.tally.in_state(State::Closing)).sum();
        if closing >= self.pool(id).wants() {
            return; // Room is already being made.
        }
        let below_share = self.pool(id).tally.total() < self.fair_share();
        let helps = |pool: &Pool| match denied {
            Denied::Database { database, .. } => pool.key.database == *database,
            Denied::User { user, .. } => pool.key.user == *user,
            _ => true,
        };
        let victim = self
            .pools()
            .filter(|(other, pool)| *other != id && helps(pool))
            .flat_map(|(_, pool)| pool.idle.iter())
            .filter_map(|server| Some((self.entry(*server)?.since, *server)))
            .filter(|(since, _)| below_share || now.since(*since) >= EVICT_IDLE_MIN)
            .min();
        if let Some((_, server)) = victim {
            self.close_idle(server, CloseReason::Evicted, now);
        }
    }
}
