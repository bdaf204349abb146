//! Who is connected: rows about single clients, as the worker that has them knows them.
//!
//! A worker is asked by mail and answers by a call, so that nobody waits for it. Clients are looked at
//! a few in each turn, and no more rows are kept than were asked for.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tidegate_pool_core::server::{Port, ServerId};
use tidegate_wire::tick::Tick;

use crate::token::ClientKey;

/// The most rows that one question is answered with: more than anybody reads, and built within a
/// millisecond or two.
pub const ROWS_MAX: usize = 1000;

/// A client, by the pid that it was told, which its driver knows as well; and by a number that no other
/// client with this pid has had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId {
    /// The pid.
    pub pid: u32,
    /// Which of those that have had it.
    pub serial: u32,
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.pid, self.serial)
    }
}

/// The text is not a client's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a client's id is two numbers with a dot between them, such as 17.4")]
pub struct NoClientId;

impl FromStr for ClientId {
    type Err = NoClientId;

    fn from_str(text: &str) -> Result<Self, NoClientId> {
        let number = |digits: &str| {
            let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|_| is_plain).ok_or(NoClientId)
        };
        let (pid, serial) = text.split_once('.').ok_or(NoClientId)?;
        Ok(Self { pid: number(pid)?, serial: number(serial)? })
    }
}

/// What a client is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientState {
    /// PostgreSQL works for it.
    Active,
    /// It has nothing under way.
    Idle,
    /// It owes the next statement of its transaction, or the rest of what it has begun.
    IdleInTransaction,
    /// It waits for notifications.
    Listening,
    /// It has the right password, and has not been told so yet.
    LoggingIn,
    /// Its server is being made ready for it.
    Preparing,
    /// It waits for a server.
    Waiting,
}

impl ClientState {
    /// The words, PostgreSQL's own (`pg_stat_activity.state`) where it has some.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Idle => "idle",
            Self::IdleInTransaction => "idle in transaction",
            Self::Listening => "listening",
            Self::LoggingIn => "logging in",
            Self::Preparing => "preparing",
            Self::Waiting => "waiting",
        }
    }
}

/// One client.
#[derive(Debug, Clone)]
pub struct ClientRow {
    /// Which.
    pub id: ClientId,
    /// The port that it came by.
    pub port: Port,
    /// Its database.
    pub database: Arc<str>,
    /// The role that it logged in as.
    pub user: Arc<str>,
    /// What it calls itself; may be empty.
    pub application: String,
    /// Where it is; none on a Unix socket.
    pub address: Option<SocketAddr>,
    /// Where it came to; none on a Unix socket.
    pub local_address: Option<SocketAddr>,
    /// The version of TLS, where it speaks that.
    pub tls: Option<&'static str>,
    /// How long it has been connected to this process.
    pub age: Duration,
    /// How long ago it said something last.
    pub silent: Duration,
    /// What it is at.
    pub state: ClientState,
    /// For how long.
    pub in_state: Duration,
    /// How long its transaction lasts, if it has one.
    pub in_transaction: Option<Duration>,
    /// Why it keeps its server past its transactions.
    pub pins: Vec<&'static str>,
    /// The server that it has.
    pub server: Option<ServerId>,
}

/// A server that listens for clients of its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListeningRow {
    /// Which.
    pub server: ServerId,
    /// For how many.
    pub clients: usize,
}

/// Whom a list is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// Clients that have a server, and servers that listen.
    Holders,
    /// All clients.
    Clients,
}

/// What one worker has found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Clients, those first that hold a server or wait for one, and of those the longest.
    pub clients: Vec<ClientRow>,
    /// How many there are, shown or not.
    pub total: usize,
    /// Servers that listen.
    pub listening: Vec<ListeningRow>,
}

/// Who wants to know.
pub(crate) type Reply<T> = Box<dyn FnOnce(T) + Send>;

/// A question, and how far its answer has come.
pub(crate) struct Listing {
    pub(crate) whom: Whom,
    rows_max: usize,
    best: Vec<(Rank, ClientKey)>,
    pub(crate) total: usize,
    pub(crate) asker: Box<dyn AskForList>,
}

/// Who has asked for a list.
pub trait AskForList: Send {
    /// Whether the answer is still waited for. One that is not is not worked out to its end.
    fn waits(&self) -> bool;

    /// The answer of one worker.
    fn told(self: Box<Self>, found: Found);
}

impl<F: FnOnce(Found) + Send> AskForList for F {
    fn waits(&self) -> bool {
        true
    }

    fn told(self: Box<Self>, found: Found) {
        self(found);
    }
}

/// Which of two clients is shown first: the lower.
pub(crate) type Rank = (u8, Tick);

impl Listing {
    pub(crate) fn new(whom: Whom, rows_max: usize, asker: Box<dyn AskForList>) -> Self {
        let rows_max = rows_max.min(ROWS_MAX);
        Self { whom, rows_max, best: Vec::new(), total: 0, asker }
    }

    /// One more client.
    pub(crate) fn add(&mut self, rank: Rank, key: ClientKey) {
        self.total += 1;
        self.best.push((rank, key));
        if self.best.len() >= 2 * self.rows_max.max(1) {
            self.best.sort_unstable();
            self.best.truncate(self.rows_max);
        }
    }

    /// Those to be shown, the first first.
    pub(crate) fn chosen(&mut self) -> Vec<ClientKey> {
        self.best.sort_unstable();
        self.best.truncate(self.rows_max);
        self.best.iter().map(|(_, key)| *key).collect()
    }
}

/// What has become of a client or server that an operator wants closed.
#[derive(Debug, Clone)]
pub enum Killed {
    /// It was closed. With it went this client, as it was before.
    Done(Option<Box<ClientRow>>),
    /// It is being closed already.
    Closing,
    /// It is being opened, which ends by itself within `timeouts.connect`.
    Opening,
    /// There is none.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_shown() {
        let id = ClientId { pid: 16_777_233, serial: 4 };
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "17", "17.", ".4", "17.4.1", "+17.4", "17.-4", "a.b", "99999999999.1"] {
            assert_eq!(text.parse::<ClientId>(), Err(NoClientId), "{text}");
        }
    }

    #[test]
    fn a_list_keeps_the_first_however_many_there_are() {
        let mut listing = Listing::new(Whom::Clients, 3, Box::new(|_| {}));
        for place in (0..100).rev() {
            let key = ClientKey { place, serial: 0 };
            listing.add((1, Tick::ZERO + Duration::from_secs(place.into())), key);
        }
        let places: Vec<_> = listing.chosen().iter().map(|key| key.place).collect();
        assert_eq!((places, listing.total), (vec![0, 1, 2], 100));
    }
}
