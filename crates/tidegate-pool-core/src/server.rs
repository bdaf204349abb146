//! A server as the pool sees it: where it stands in its life, and the lease that is a checkout.

use std::fmt;
use std::sync::Arc;

use tidegate_budget::slot::Slot;
use tidegate_wire::tick::Tick;

/// Which of the two ports a client came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Port {
    /// A lease lasts as long as the client.
    Session,
    /// A lease lasts as long as a transaction.
    Transaction,
}

impl Port {
    /// Both, for tables.
    pub const ALL: [Self; 2] = [Self::Session, Self::Transaction];

    /// The word for logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Transaction => "transaction",
        }
    }

    /// A place in a table of two.
    pub const fn index(self) -> usize {
        match self {
            Self::Session => 0,
            Self::Transaction => 1,
        }
    }
}

/// What a pool is for. Both names come from clients, so they are bytes that happen to be text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolKey {
    /// The database.
    pub database: Arc<str>,
    /// The role that servers log in as.
    pub user: Arc<str>,
}

impl fmt::Display for PoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.database, self.user)
    }
}

/// A pool. Valid as long as somebody has joined it or it has servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId(pub(crate) u32);

impl PoolId {
    /// Its number, which no other pool has at the same time.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// A server, from dialing until its backend has gone. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub(crate) u64);

impl ServerId {
    /// The number that stands for the server in logs.
    pub const fn number(self) -> u64 {
        self.0 >> Self::PLACE_BITS
    }

    /// A server's id is a serial number with its place in a table in the low bits: finding it is
    /// an index, and an id is never used twice. 16 bits: PostgreSQL's own limit is 2^18
    /// connections, and no plan has a quarter of that.
    pub const PLACE_BITS: u32 = 16;

    /// Its place in a table of the servers that exist now.
    pub const fn place(self) -> usize {
        (self.0 & ((1 << Self::PLACE_BITS) - 1)) as usize
    }

    /// As one number, and back.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The id that [`ServerId::to_bits`] gave.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

/// Who waits: a client of a worker. The pool only carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Waiter {
    /// The worker that accepted the client.
    pub worker: u16,
    /// The client, in the worker's own terms.
    pub client: u64,
}

/// A hash of the startup parameters that a server has or a client wants. Equal parameters have
/// equal hashes, so a server of the same flavour is preferred: it needs nothing set. Nothing
/// depends on it but speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flavour(pub u64);

/// Whether a returned server may go to the next client as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hygiene {
    /// Nothing was left behind.
    Clean,
    /// The worker resets it first.
    Dirty,
}

/// Why a server was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CloseReason {
    /// Our bug: a transition that must not happen. Counted, logged, and never silent.
    Bug,
    /// A background check of an idle server failed.
    CheckFailed,
    /// The login failed or took too long.
    DialFailed,
    /// The gate shuts down.
    Drain,
    /// Another pool was starving.
    Evicted,
    /// It was idle for longer than it may be.
    Idle,
    /// An operator has closed it.
    Killed,
    /// It was older than `pool_recycle`.
    Lifetime,
    /// More were open than a limit allows that was lowered.
    Limit,
    /// The upstream has moved to another host, or this one is not like it must be any more.
    Moved,
    /// Its pool was paused and at rest.
    Pause,
    /// An operator had all servers replaced.
    Reconnect,
    /// The client vanished in mid-exchange and the server could not be recovered in time.
    Recovery,
    /// The reset failed.
    ResetFailed,
    /// Another process takes over, and its slot goes there.
    Takeover,
    /// PostgreSQL closed the connection, or it broke.
    Upstream,
}

impl CloseReason {
    /// All reasons, for metrics that start at zero.
    pub const ALL: [Self; 16] = [
        Self::Bug,
        Self::CheckFailed,
        Self::DialFailed,
        Self::Drain,
        Self::Evicted,
        Self::Idle,
        Self::Killed,
        Self::Lifetime,
        Self::Limit,
        Self::Moved,
        Self::Pause,
        Self::Reconnect,
        Self::Recovery,
        Self::ResetFailed,
        Self::Takeover,
        Self::Upstream,
    ];

    /// The word for logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bug => "bug",
            Self::CheckFailed => "check_failed",
            Self::DialFailed => "dial_failed",
            Self::Drain => "drain",
            Self::Evicted => "evicted",
            Self::Idle => "idle",
            Self::Killed => "killed",
            Self::Lifetime => "lifetime",
            Self::Limit => "limit",
            Self::Moved => "moved",
            Self::Pause => "pause",
            Self::Reconnect => "reconnect",
            Self::Recovery => "recovery",
            Self::ResetFailed => "reset_failed",
            Self::Takeover => "takeover",
            Self::Upstream => "upstream",
        }
    }

    /// A place in a table of all reasons.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// Where a server stands.
///
/// ```text
///  Dialing --authenticated--> Leased (to the first waiter) or Idle
///  Idle --checked out--> Leased --returned clean--> Idle, or Leased by the next waiter
///  Leased --returned dirty--> Resetting --reset--> Idle, or Leased by the next waiter
///  Idle --due--> Checking --answered--> Idle, or Leased by the next waiter
///  any --ended(reason)--> Closing --backend gone--> (no server)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Being opened: connecting, logging in.
    Dialing,
    /// Free.
    Idle,
    /// With a client of this port.
    Leased(Port),
    /// Between two clients: state of the last is being removed.
    Resetting,
    /// Its health is being checked.
    Checking,
    /// Being closed; the slot is held until the backend has gone.
    Closing,
}

impl State {
    /// All states, in the order of life.
    pub const ALL: [Self; 7] = [
        Self::Dialing,
        Self::Idle,
        Self::Leased(Port::Session),
        Self::Leased(Port::Transaction),
        Self::Resetting,
        Self::Checking,
        Self::Closing,
    ];

    /// The word for logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dialing => "dialing",
            Self::Idle => "idle",
            Self::Leased(_) => "active",
            Self::Resetting => "resetting",
            Self::Checking => "checking",
            Self::Closing => "closing",
        }
    }

    /// A place in a table of all states.
    pub const fn index(self) -> usize {
        match self {
            Self::Dialing => 0,
            Self::Idle => 1,
            Self::Leased(port) => 2 + port.index(),
            Self::Resetting => 4,
            Self::Checking => 5,
            Self::Closing => 6,
        }
    }
}

/// A server in a worker's hands: leased to a client, or being reset, checked, or closed.
///
/// It goes back to the pool by [`crate::pools::Pools::give_back`] or ends by
/// [`crate::pools::Pools::closing`]; there is no third way, and the type is not `Clone`.
#[derive(Debug)]
#[must_use = "a lease is given back or closed"]
pub struct Lease<S> {
    /// Which server.
    pub server: ServerId,
    /// Its pool.
    pub pool: PoolId,
    /// The connection and its machine.
    pub payload: S,
    /// The startup parameters it has now.
    pub flavour: Flavour,
}

impl<S> Lease<S> {
    /// The lease without what the worker keeps of the server, and that.
    pub fn split(self) -> (Lease<()>, S) {
        let Self { server, pool, payload, flavour } = self;
        (Lease { server, pool, payload: (), flavour }, payload)
    }
}

impl Lease<()> {
    /// Puts the two together again.
    pub fn with<S>(self, payload: S) -> Lease<S> {
        let Self { server, pool, payload: (), flavour } = self;
        Lease { server, pool, payload, flavour }
    }
}

/// What the pool keeps of a server.
pub(crate) struct Entry<S> {
    pub(crate) pool: PoolId,
    pub(crate) state: State,
    pub(crate) since: Tick,
    pub(crate) opened: Tick,
    pub(crate) expires: Tick,
    pub(crate) checked: Tick,
    pub(crate) pid: u32,
    pub(crate) flavour: Flavour,
    /// Present while idle.
    pub(crate) payload: Option<S>,
    /// It is to be replaced, whatever its age.
    pub(crate) retired: bool,
    /// It is on a host that the upstream has left: it is closed when it comes back, whatever else.
    pub(crate) is_left: bool,
    pub(crate) _slot: Slot,
}
