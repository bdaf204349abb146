//! The one tally: every number shown anywhere about pools, servers, waits, and holds.
//!
//! It moves in the same functions as the state, so a dashboard cannot disagree with reality.

use tidegate_wire::tick::Tick;

use crate::histogram::{CONNECT_BOUNDS, HOLD_BOUNDS, Histogram, WAIT_BOUNDS};
use crate::retry::FailureKind;
use crate::server::{CloseReason, Port, State};

/// How a checkout ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The client cancelled its request while it waited.
    Cancelled,
    /// The client vanished while it waited.
    Disconnected,
    /// With a server.
    Ok,
    /// With an error other than a time-out.
    Rejected,
    /// With a time-out.
    Timeout,
}

impl Outcome {
    /// All outcomes, for metrics that start at zero.
    pub const ALL: [Self; 5] =
        [Self::Cancelled, Self::Disconnected, Self::Ok, Self::Rejected, Self::Timeout];

    /// The word for metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Disconnected => "disconnected",
            Self::Ok => "ok",
            Self::Rejected => "rejected",
            Self::Timeout => "timeout",
        }
    }
}

/// The numbers of one port of a pool.
#[derive(Debug, Clone)]
pub struct PortTally {
    /// Clients that are logged in.
    pub clients: u32,
    /// Clients that wait for a server.
    pub waiting: u32,
    /// Checkouts that could not be served at once.
    pub queued: u64,
    /// Checkouts by how they ended, with how long they waited.
    pub waits: [Histogram; Outcome::ALL.len()],
    /// How long servers were with clients.
    pub holds: Histogram,
    /// The queue's length integrated over time, in waiter-seconds.
    waiter_seconds: f64,
    waiter_seconds_until: Tick,
}

impl PortTally {
    fn new() -> Self {
        Self {
            clients: 0,
            waiting: 0,
            queued: 0,
            waits: std::array::from_fn(|_| Histogram::new(WAIT_BOUNDS)),
            holds: Histogram::new(HOLD_BOUNDS),
            waiter_seconds: 0.0,
            waiter_seconds_until: Tick::ZERO,
        }
    }

    pub(crate) fn checkout_ended(&mut self, outcome: Outcome, since: Tick, now: Tick) {
        self.waits[outcome as usize].observe(now.since(since));
    }

    /// Sets the length of the queue.
    pub(crate) fn waiting(&mut self, waiting: u32, now: Tick) {
        self.waiter_seconds = self.waiter_seconds(now);
        self.waiter_seconds_until = now;
        self.waiting = waiting;
    }

    /// The queue's length integrated over time up to `now`: it grows while clients wait, not only
    /// when their wait ends.
    pub fn waiter_seconds(&self, now: Tick) -> f64 {
        let since = now.since(self.waiter_seconds_until).as_secs_f64();
        // Not `mul_add`, which is a function call where the processor may lack the instruction.
        f64::from(self.waiting) * since + self.waiter_seconds
    }
}

/// The numbers of one pool.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Both ports, by [`Port::index`].
    pub ports: [PortTally; 2],
    /// Servers by state, by [`State::index`].
    pub servers: [u32; State::ALL.len()],
    /// Servers that logged in.
    pub opened: u64,
    /// Servers that ended, by [`CloseReason::index`].
    pub closed: [u64; CloseReason::ALL.len()],
    /// Dials that failed, by kind.
    pub dial_failures: [u64; FailureKind::ALL.len()],
    /// How long it took to open servers.
    pub connects: Histogram,
    /// Slots that the budget refused.
    pub denied: u64,
    /// Clients that keep their server past the transaction.
    pub pinned: u32,
    /// Clients that would have, where too many did.
    pub pins_refused: u64,
    /// Clients for which a server of this pool listens that is none of theirs.
    pub listening: u32,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            ports: [PortTally::new(), PortTally::new()],
            servers: [0; State::ALL.len()],
            opened: 0,
            closed: [0; CloseReason::ALL.len()],
            dial_failures: [0; FailureKind::ALL.len()],
            connects: Histogram::new(CONNECT_BOUNDS),
            denied: 0,
            pinned: 0,
            pins_refused: 0,
            listening: 0,
        }
    }

    pub(crate) fn arrived(&mut self, state: State) {
        self.servers[state.index()] += 1;
    }

    pub(crate) fn left(&mut self, state: State) {
        self.servers[state.index()] -= 1;
    }

    /// Servers in this state.
    pub fn in_state(&self, state: State) -> u32 {
        self.servers[state.index()]
    }

    /// Servers with clients.
    pub fn leased(&self) -> u32 {
        Port::ALL.iter().map(|port| self.in_state(State::Leased(*port))).sum()
    }

    /// Servers that are between two clients, or on their way to the first: being opened, checked,
    /// or reset.
    pub fn coming(&self) -> u32 {
        let coming = [State::Dialing, State::Resetting, State::Checking];
        coming.iter().map(|state| self.in_state(*state)).sum()
    }

    /// Clients that wait.
    pub fn waiting(&self) -> u32 {
        self.ports.iter().map(|port| port.waiting).sum()
    }

    /// Servers from dialing until the backend has gone.
    pub fn total(&self) -> u32 {
        self.servers.iter().sum()
    }

    /// Servers that work or will in a moment.
    pub fn live(&self) -> u32 {
        self.total() - self.in_state(State::Dialing) - self.in_state(State::Closing)
    }
}
