//! What passes through a pool, per port: counted by the workers, in passing.

use tidegate_session::pin::PinReason;
use tidegate_session::server::naming::Followed;

use crate::counter::Counter;
use crate::front::{Goodbye, Resend, Timeout};

/// The work of one port of a pool.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Transactions that ended.
    pub transactions: Counter,
    /// Statements that ended.
    pub statements: Counter,
    /// Errors that PostgreSQL sent to clients.
    pub errors: Counter,
    /// Bytes read from clients.
    pub client_rx: Counter,
    /// Bytes written to clients.
    pub client_tx: Counter,
    /// Bytes read from servers.
    pub server_rx: Counter,
    /// Bytes written to servers.
    pub server_tx: Counter,
    /// Prepared statements that servers were sent to parse.
    pub prepared_parses: Counter,
    /// Uses of prepared statements that the server had already.
    pub prepared_hits: Counter,
    /// Prepared statements that were closed to make room for others.
    pub prepared_evictions: Counter,
    /// Batches that were sent again, as a prepared statement of the server's was stale or gone.
    pub prepared_healed: Counter,
    /// Batches that went to another server, as theirs had died, by [`Resend`].
    pub resent: [Counter; Resend::ALL.len()],
    /// Batches that did not, as too many had of late.
    pub resends_refused: Counter,
    /// Transactions of which nobody knows whether they were committed.
    pub commits_in_doubt: Counter,
    /// Pins, by [`PinReason::index`].
    pub pins: [Counter; PinReason::ALL.len()],
    /// Clients that were logged in and have gone, by [`Goodbye`].
    pub closed: [Counter; Goodbye::ALL.len()],
    /// Times that a client took longer than it may, by [`Timeout`].
    pub timeouts: [Counter; Timeout::ALL.len()],
}

impl Traffic {
    /// Counts what became of messages that name a prepared statement.
    pub fn prepared(&self, followed: Followed) {
        self.prepared_parses.add(followed.parses.into());
        self.prepared_hits.add(followed.hits.into());
        self.prepared_evictions.add(followed.evictions.into());
    }
}
