//! The queue of one port: checkouts that wait, in order of arrival.

use std::collections::VecDeque;

use tidegate_wire::tick::Tick;

use crate::server::{PoolId, Waiter};

/// A place in a queue. Never given out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    /// Counts all checkouts that had to wait, so that of two the lower was first.
    pub(crate) number: u64,
    pub(crate) pool: PoolId,
}

/// A checkout that waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiting {
    pub(crate) ticket: Ticket,
    pub(crate) waiter: Waiter,
    pub(crate) since: Tick,
    pub(crate) deadline: Tick,
}

/// Waiters in order of arrival. One that gives up leaves a gap, so that ten thousand clients
/// that vanish at once cost ten thousand steps and not their square.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    places: VecDeque<(Ticket, Option<Waiting>)>,
    live: u32,
}

impl Queue {
    pub(crate) fn len(&self) -> u32 {
        self.live
    }

    pub(crate) fn push(&mut self, waiting: Waiting) {
        self.places.push_back((waiting.ticket, Some(waiting)));
        self.live += 1;
    }

    pub(crate) fn first(&self) -> Option<&Waiting> {
        // The front is never a gap: `trim` follows each removal.
        self.places.front().and_then(|(_, waiting)| waiting.as_ref())
    }

    pub(crate) fn pop(&mut self) -> Option<Waiting> {
        let (_, waiting) = self.places.pop_front()?;
        self.live -= 1;
        self.trim();
        waiting
    }

    /// Takes the one that came last: a bug, to be planted.
    pub(crate) fn pop_last(&mut self) -> Option<Waiting> {
        let last = self.places.iter().rev().find_map(|(_, waiting)| waiting.as_ref())?.ticket;
        self.remove(last)
    }

    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<Waiting> {
        let place = self.places.binary_search_by_key(&ticket, |(ticket, _)| *ticket).ok()?;
        let waiting = self.places[place].1.take()?;
        self.live -= 1;
        self.trim();
        Some(waiting)
    }

    fn trim(&mut self) {
        while let Some((_, None)) = self.places.front() {
            self.places.pop_front();
        }
    }
}
