//! Another process of the gate takes over: the budget is shared between the two, and slots go from one
//! to the other.
//!
//! Who gives closes what is idle beyond its share at once, and the rest when it comes back; who takes
//! dials as slots come free. No connection is handed over as it is: a new one costs milliseconds,
//! off everybody's path but a waiter's.

use tidegate_budget::budget::Share;
use tidegate_wire::tick::Tick;

use crate::pools::Pools;
use crate::server::{CloseReason, State};

impl<S> Pools<S> {
    /// From now on the budget is shared so with another process.
    pub fn set_share(&mut self, share: Share, now: Tick) {
        self.budget.set_share(share);
        self.close_idle_while(|pools| pools.excess() > 0, None, CloseReason::Takeover, now);
        self.feed(now);
    }

    /// Servers with clients, and those that listen.
    pub fn leased(&self) -> u32 {
        self.pools().map(|(_, pool)| pool.tally.leased()).sum()
    }

    /// Servers beyond this process's share. What is closing is on its way to the other.
    pub(super) fn excess(&self) -> u32 {
        let Share::AtMost(limit) = self.budget.share() else { return 0 };
        let kept =
            self.pools().map(|(_, pool)| pool.tally.total() - pool.tally.in_state(State::Closing));
        kept.sum::<u32>().saturating_sub(limit)
    }
}
