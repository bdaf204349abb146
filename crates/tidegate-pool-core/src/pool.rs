//! One pool: the servers of a database and role, and the queues of both ports in front of them.

use std::time::Duration;

use tidegate_budget::budget::Denied;
use tidegate_wire::planted::{Bug, is_planted};
use tidegate_wire::tick::Tick;

use crate::queue::{Queue, Waiting};
use crate::retry::DialFailure;
use crate::server::{PoolKey, Port, ServerId};
use crate::settings::PoolSettings;
use crate::tally::Tally;

/// What is known of one pool. Its servers' states are in the table of all servers.
pub(crate) struct Pool {
    pub(crate) key: PoolKey,
    pub(crate) settings: PoolSettings,
    /// Nothing is handed out or dialed.
    pub(crate) is_paused: bool,
    pub(crate) queues: [Queue; 2],
    /// Last in, first out: hot servers stay hot, the rest age and go.
    pub(crate) idle: Vec<ServerId>,
    pub(crate) refused: Option<(DialFailure, Tick)>,
    pub(crate) denied: Option<Denied>,
    /// The server that a replacement is being dialed for.
    pub(crate) replacing: Option<ServerId>,
    pub(crate) tally: Tally,
}

/// A look at one pool, for metrics, status, and messages.
#[derive(Debug, Clone)]
pub struct PoolView {
    /// Database and role.
    pub key: PoolKey,
    /// The settings in force.
    pub settings: PoolSettings,
    /// All its numbers.
    pub tally: Tally,
    /// How long the oldest waiter of each port has waited.
    pub oldest_wait: [Duration; 2],
    /// Whether an operator has paused it.
    pub is_paused: bool,
}

impl Pool {
    /// Servers that the waiters need beyond those that are on their way to them.
    pub(crate) fn wants(&self) -> u32 {
        if self.is_paused {
            return 0;
        }
        self.tally.waiting().saturating_sub(self.tally.coming())
    }

    pub(crate) fn has_work(&self) -> bool {
        (self.tally.waiting() > 0 && !self.is_paused) || self.tally.leased() > 0
    }

    pub(crate) fn queue_moved(&mut self, port: Port, now: Tick) {
        let length = self.queues[port.index()].len();
        self.tally.ports[port.index()].waiting(length, now);
    }

    /// The port whose first waiter came first.
    pub(crate) fn first_port(&self) -> Option<Port> {
        let first = |port: Port| self.queues[port.index()].first().map(|waiting| waiting.ticket);
        Port::ALL.into_iter().filter(|port| first(*port).is_some()).min_by_key(|port| first(*port))
    }

    pub(crate) fn pop_waiting(&mut self, now: Tick) -> Option<(Port, Waiting)> {
        let port = self.first_port()?;
        let queue = &mut self.queues[port.index()];
        let waiting = if is_planted(Bug::Overtaking) { queue.pop_last()? } else { queue.pop()? };
        self.queue_moved(port, now);
        Some((port, waiting))
    }

    pub(crate) fn pop_expired(&mut self, port: Port, now: Tick) -> Option<Waiting> {
        let queue = &mut self.queues[port.index()];
        if queue.first()?.deadline > now {
            return None;
        }
        let waiting = queue.pop();
        self.queue_moved(port, now);
        waiting
    }

    pub(crate) fn oldest_wait_since(&self) -> Tick {
        let firsts = self.queues.iter().filter_map(Queue::first);
        firsts.map(|waiting| waiting.since).min().unwrap_or(Tick::NEVER)
    }

    pub(crate) fn view(&self, now: Tick) -> PoolView {
        let oldest = |port: Port| {
            self.queues[port.index()].first().map_or(Duration::ZERO, |first| now.since(first.since))
        };
        PoolView {
            key: self.key.clone(),
            settings: self.settings.clone(),
            tally: self.tally.clone(),
            oldest_wait: Port::ALL.map(oldest),
            is_paused: self.is_paused,
        }
    }
}
