//! One gate takes over from another, as two processes do: what they tell each other takes its time, in
//! order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tidegate_proxy::played::{PlayedCancel, PlayedClient, PlayedGate};
use tidegate_wire::tick::Tick;

/// What the old process says.
enum Said {
    Cancelled(u64),
    Client(PlayedClient),
    Ended,
    Slots(u32, Arc<[u32]>),
}

/// A take-over.
pub(crate) struct Takeover {
    /// The gate that gives.
    pub(crate) old: usize,
    /// The one that takes.
    pub(crate) new: usize,
    /// On their way to the new one, in order.
    line: VecDeque<Said>,
    /// What was said last of slots.
    slots: (u32, Arc<[u32]>),
    cancels: BTreeMap<u64, PlayedCancel>,
    last_cancel: u64,
    clients: usize,
    /// From when on whoever is still with the old one is sent away when it is at rest.
    away_from: Tick,
    /// When whoever is still there after that must go.
    over_at: Tick,
    is_over: bool,
    has_ended: bool,
    /// What the old one had has been given back, as far as it was nobody's.
    pub(crate) is_done: bool,
}

impl Takeover {
    /// Begins: `old` accepts no more, and `new` knows what it holds.
    pub(crate) fn begin(
        old: usize,
        new: usize,
        gates: &[PlayedGate],
        [away_from, over_at]: [Tick; 2],
    ) -> Self {
        gates[old].begin_giving();
        let slots = gates[old].keep_to_share(false, 0);
        gates[new].elder_holds(slots.0, slots.1.clone());
        Self {
            old,
            new,
            line: VecDeque::new(),
            slots,
            cancels: BTreeMap::new(),
            last_cancel: 0,
            clients: 0,
            away_from,
            over_at,
            is_over: false,
            has_ended: false,
            is_done: false,
        }
    }

    /// The new one serves.
    pub(crate) fn serves(&self, gates: &[PlayedGate]) {
        gates[self.old].give_clients();
    }

    /// Looks what there is to say. Says how many messages have been put on the line, and whether the
    /// old process has just ended.
    pub(crate) fn look(&mut self, gates: &mut [PlayedGate], now: Tick) -> (usize, bool) {
        if self.has_ended {
            return (0, false);
        }
        let before = self.line.len();
        for cancel in gates[self.new].take_cancels() {
            self.last_cancel += 1;
            gates[self.old].cancel_for_successor(self.last_cancel, &cancel);
            self.cancels.insert(self.last_cancel, cancel);
        }
        let old = &gates[self.old];
        let moved = std::iter::from_fn(|| old.take_moved()).map(Said::Client);
        self.line.extend(moved);
        self.line.extend(old.take_cancelled().into_iter().map(Said::Cancelled));
        if !self.is_over && now >= self.away_from {
            self.away_from = Tick::NEVER;
            old.send_away();
        }
        if !self.is_over && (now >= self.over_at || old.has_nobody()) {
            self.is_over = true;
            old.end_giving();
        }
        let slots = old.keep_to_share(self.is_over, gates[self.new].shared.clients());
        if self.slots != slots {
            self.slots = slots.clone();
            self.line.push_back(Said::Slots(slots.0, slots.1));
        }
        self.has_ended = old.is_over();
        if self.has_ended {
            self.line.push_back(Said::Ended);
            gates[self.old].end();
        }
        (self.line.len() - before, self.has_ended)
    }

    /// The next message arrives. True when it was the last, of a process that still held something:
    /// what that was is free after `UNSEEN_COOLING`.
    pub(crate) fn arrive(&mut self, gates: &[PlayedGate]) -> bool {
        let new = &gates[self.new];
        match self.line.pop_front() {
            None => {}
            Some(Said::Cancelled(id)) => {
                self.cancels.remove(&id).iter().for_each(|cancel| new.release(cancel));
            }
            Some(Said::Client(client)) => {
                self.clients += 1;
                new.take_in(client, self.new, self.clients);
            }
            Some(Said::Slots(held, pids)) => new.elder_holds(held, pids),
            Some(Said::Ended) => {
                new.elder_ended();
                let asked = std::mem::take(&mut self.cancels).into_values();
                asked.chain(new.take_cancels()).for_each(|cancel| new.release(&cancel));
                if self.slots.0 > 0 {
                    return true;
                }
                self.cool(gates);
            }
        }
        false
    }

    /// What the old one had is free, but for what the census sees.
    pub(crate) fn cool(&mut self, gates: &[PlayedGate]) {
        self.is_done = true;
        gates[self.new].elder_is_gone(self.slots.0);
    }
}
