//! What happens before a client has a pool: accepts, refusals, cancel requests.

use tidegate_pool_core::server::Port;

use crate::counter::Counter;

/// Why a connection was refused before it was a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectReason {
    /// The password is wrong, the user unknown, or the exchange broken.
    Auth,
    /// Nobody could be asked who the user is.
    Lookup,
    /// `clients_max` is reached, or there is no file descriptor left.
    MaxClients,
    /// What clients make the gate keep leaves no room for more of them.
    Memory,
    /// The client asked for something that is not offered on this port.
    NotOffered,
    /// No server could be had to find out what the login needs.
    NoServer,
    /// The gate shuts down.
    Shutdown,
    /// The startup packet was no startup packet.
    Startup,
    /// It did not log in within the time.
    Timeout,
    /// A TLS handshake failed, or it came without TLS, which is required.
    Tls,
}

impl RejectReason {
    /// All reasons, for metrics that start at zero.
    pub const ALL: [Self; 10] = [
        Self::Auth,
        Self::Lookup,
        Self::MaxClients,
        Self::Memory,
        Self::NotOffered,
        Self::NoServer,
        Self::Shutdown,
        Self::Startup,
        Self::Timeout,
        Self::Tls,
    ];

    /// The word for logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Lookup => "lookup",
            Self::MaxClients => "max_client",
            Self::Memory => "memory",
            Self::NotOffered => "not_offered",
            Self::NoServer => "no_server",
            Self::Shutdown => "shutdown",
            Self::Startup => "startup",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
        }
    }
}

/// Why a client that was logged in has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goodbye {
    /// The gate shut down.
    Drain,
    /// An operator closed it.
    Killed,
    /// It took more of the gate's memory than any other, when there was no more.
    Memory,
    /// It could not be given what its session needs to begin.
    Refused,
    /// Its server was lost in the midst of its work.
    ServerLost,
    /// Another process has taken it over; it has noticed nothing.
    Takeover,
    /// It said goodbye.
    Terminate,
    /// It took longer than it may; see [`Timeout`].
    Timeout,
    /// It hung up without a word, or the connection broke.
    Vanished,
    /// It broke the protocol.
    Violation,
}

impl Goodbye {
    /// All reasons, for metrics that start at zero.
    pub const ALL: [Self; 10] = [
        Self::Drain,
        Self::Killed,
        Self::Memory,
        Self::Refused,
        Self::ServerLost,
        Self::Takeover,
        Self::Terminate,
        Self::Timeout,
        Self::Vanished,
        Self::Violation,
    ];

    /// The word for logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Killed => "killed",
            Self::Memory => "memory",
            Self::Refused => "refused",
            Self::ServerLost => "server_lost",
            Self::Takeover => "takeover",
            Self::Terminate => "terminate",
            Self::Timeout => "timeout",
            Self::Vanished => "vanished",
            Self::Violation => "violation",
        }
    }
}

/// For what a client took longer than it may. The names are those of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// It was silent, with nothing under way.
    ClientIdle,
    /// It was silent, while PostgreSQL waited for it.
    IdleInTransaction,
    /// Its statement ran.
    Query,
    /// Its transaction lasted.
    Transaction,
}

impl Timeout {
    /// All of them, for metrics that start at zero.
    pub const ALL: [Self; 4] =
        [Self::ClientIdle, Self::IdleInTransaction, Self::Query, Self::Transaction];

    /// The word for logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientIdle => "client_idle",
            Self::IdleInTransaction => "idle_in_transaction",
            Self::Query => "query",
            Self::Transaction => "transaction",
        }
    }
}

/// Why a batch went to another server than the one that it was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resend {
    /// It reads, and `retry.read_only` is on: nothing of the answer had come.
    ReadOnly,
    /// Nothing of it had been sent.
    Unsent,
}

impl Resend {
    /// All reasons, for metrics that start at zero.
    pub const ALL: [Self; 2] = [Self::ReadOnly, Self::Unsent];

    /// The word for metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read_only",
            Self::Unsent => "unsent",
        }
    }
}

/// What became of a cancel request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelOutcome {
    /// Sent on to PostgreSQL.
    Forwarded,
    /// Nothing was running.
    Idle,
    /// No client has this key.
    Unknown,
    /// The client was waiting for a server and waits no more.
    Waiting,
}

impl CancelOutcome {
    /// All outcomes, for metrics that start at zero.
    pub const ALL: [Self; 4] = [Self::Forwarded, Self::Idle, Self::Unknown, Self::Waiting];

    /// The word for metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Idle => "idle",
            Self::Unknown => "unknown",
            Self::Waiting => "waiting",
        }
    }
}

/// The numbers of one port.
#[derive(Debug, Default)]
pub struct FrontPort {
    /// Connections accepted.
    pub accepts: Counter,
    /// Logins that succeeded.
    pub logins: Counter,
    /// Connections refused.
    pub rejected: [Counter; RejectReason::ALL.len()],
}

/// The numbers of both ports.
#[derive(Debug, Default)]
pub struct Front {
    /// By [`Port::index`].
    pub ports: [FrontPort; 2],
    /// Cancel requests.
    pub cancels: [Counter; CancelOutcome::ALL.len()],
}

impl Front {
    /// The numbers of one port.
    pub fn port(&self, port: Port) -> &FrontPort {
        &self.ports[port.index()]
    }
}
