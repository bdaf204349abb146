//! An upstream of several hosts: a dial goes on at the next one, and servers on a host that is not
//! the one any more are parted with.

use tidegate_wire::tick::Tick;

use crate::order::Dial;
use crate::pools::{Event, Pools};
use crate::retry::FailureKind;
use crate::server::{CloseReason, ServerId, State};

impl<S> Pools<S> {
    /// A dial has come to nothing, and there is another host that may be tried at once: it is no
    /// failure of the upstream yet. The slot is held until [`Pools::gone`]. Whoever waits is dialed
    /// for again.
    pub fn dial_goes_on(&mut self, dial: Dial, now: Tick) {
        let Dial { server, pool: id, .. } = dial;
        self.apply(server, Event::Ended(CloseReason::DialFailed), now);
        let pool = self.pool_mut(id);
        pool.replacing = None;
        pool.tally.dial_failures[FailureKind::Transient as usize] += 1;
        self.feed(now);
        self.rest(id, now);
    }

    /// The upstream is elsewhere: servers that exist now are of no use, but for `except`, which is
    /// there. Idle ones are closed, others when they come back. New ones are dialed as they are
    /// needed, a few at a time as ever. Says how many those are.
    pub fn leave_host(&mut self, except: Option<ServerId>, now: Tick) -> u32 {
        let mut left = 0;
        let mut idle = Vec::new();
        for (server, entry) in self.entries.iter_mut().flatten() {
            // Of those that are being dialed it will be known where they are.
            let stays = matches!(entry.state, State::Closing | State::Dialing);
            if stays || Some(*server) == except || entry.is_left {
                continue;
            }
            entry.is_left = true;
            left += 1;
            if entry.state == State::Idle {
                idle.push(*server);
            }
        }
        for server in idle {
            self.close_idle(server, CloseReason::Moved, now);
        }
        self.feed(now);
        left
    }
}
