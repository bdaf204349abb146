//! What a pool is told: the checked settings that concern it, in its own words.

use std::time::Duration;

/// When an idle server is checked before it is handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrePing {
    /// In the background, once it has been idle for this long.
    After(Duration),
    /// At each hand-out; costs a round trip.
    Always,
    /// Never.
    Off,
}

/// What clients of the transaction port are answered without a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerProbes {
    /// BEGIN, which is sent with the first statement; the empty query; COMMIT and ROLLBACK of a
    /// transaction that has only begun.
    Begin,
    /// `SELECT 1` too.
    All,
    /// Nothing.
    Off,
}

impl AnswerProbes {
    /// Each choice with its word.
    pub const WORDS: &'static [(&'static str, Self)] =
        &[("begin", Self::Begin), ("all", Self::All), ("off", Self::Off)];

    /// The word for settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::All => "all",
            Self::Off => "off",
        }
    }
}

/// What a returned server needs before the next client gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResetPolicy {
    /// A reset only when the lease may have left something behind.
    Auto,
    /// A reset after each lease.
    Always,
    /// Never. Session state may reach the next client.
    Off,
}

impl ResetPolicy {
    /// Each choice with its word.
    pub const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("always", Self::Always), ("off", Self::Off)];

    /// The word for settings and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Off => "off",
        }
    }
}

/// The settings of one pool; see the reference of settings for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSettings {
    /// Servers that are kept.
    pub pool_size: u32,
    /// Servers that may exist beyond `pool_size` while there is load.
    pub max_overflow: u32,
    /// The longest wait for a server, everything included.
    pub pool_timeout: Duration,
    /// The age at which a server is replaced; each server draws its own from the last tenth.
    pub pool_recycle: Option<Duration>,
    /// Checks of idle servers.
    pub pool_pre_ping: PrePing,
    /// What is answered without a server.
    pub answer_probes: AnswerProbes,
    /// Servers that clients may keep past their transactions; half of all when not given.
    pub pins_max: Option<u32>,
    /// How long a server beyond `pool_size` stays idle before it is closed.
    pub overflow_linger: Duration,
    /// How long any server stays idle before it is closed.
    pub server_idle_timeout: Option<Duration>,
    /// Resets.
    pub reset: ResetPolicy,
}

impl PoolSettings {
    /// The most servers the pool may have.
    pub fn servers_max(&self) -> u32 {
        self.pool_size.saturating_add(self.max_overflow)
    }

    /// The most servers that clients may keep past their transactions, where `usable` connections
    /// can be had. Half of all that there can be, so that those who keep none can go on.
    pub fn pins_max(&self, usable: u32) -> u32 {
        self.pins_max.unwrap_or_else(|| (self.servers_max().min(usable) / 2).max(1))
    }
}

/// How connecting is retried; see `[retry]` in the reference of settings.
#[derive(Debug, Clone, PartialEq)]
pub struct RetrySettings {
    /// Transient failures in a row after which only one probe at a time is sent.
    pub attempts: u32,
    /// First step of the exponential back-off.
    pub multiplier: Duration,
    /// Shortest pause.
    pub min: Duration,
    /// Longest pause.
    pub max: Duration,
    /// Whether pauses are drawn from the interval or its upper end.
    pub jitter: bool,
    /// How much of a further retry each success earns; without any left, each pause is the longest.
    pub budget: f64,
}

/// Two at a time: one slow login must not hold up a second, and a burst of waiters must not
/// become a burst of logins, each of which costs PostgreSQL a fork.
pub const DIALS_PER_POOL_MAX: u32 = 2;
