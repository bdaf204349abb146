//! What the pools ask a worker to do. Each order is carried out by the worker whose call left it.

use std::sync::Arc;
use std::time::Duration;

use tidegate_budget::budget::Denied;

use crate::queue::Ticket;
use crate::retry::DialFailure;
use crate::server::{CloseReason, Lease, PoolId, PoolKey, ServerId, Waiter};

/// The outcome of a checkout.
#[derive(Debug)]
pub enum Checkout<S> {
    /// A server, at once.
    Ready(Lease<S>),
    /// A place in the queue; an [`Order::HandOff`] or [`Order::Refuse`] follows.
    Wait(Ticket),
    /// None, and waiting would not help.
    Refused(CheckoutError),
}

/// Something for a worker to do.
#[derive(Debug)]
pub enum Order<S> {
    /// Ask the server whether it is alive, then give it back or close it.
    Check(Lease<S>),
    /// Take leave of the server, wait for its end, and report it gone.
    Close(Lease<S>, CloseReason),
    /// Open a server.
    Dial(Dial),
    /// Give the server to a waiting client, if it still waits with this ticket.
    HandOff(Waiter, Ticket, Lease<S>),
    /// Tell a waiting client that it gets none, if it still waits with this ticket.
    Refuse(Waiter, Ticket, CheckoutError),
}

/// A server that is to be opened. Its slot is taken.
#[derive(Debug)]
#[must_use = "a dial ends by `dialed` or `dial_failed`"]
pub struct Dial {
    /// The server that it will be.
    pub server: ServerId,
    /// Its pool.
    pub pool: PoolId,
    /// Database and role.
    pub key: PoolKey,
}

/// Why a client got no server. No statement was sent in any of these cases.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckoutError {
    /// The gate shuts down.
    #[error("the gate is shutting down")]
    Draining,
    /// An operator has paused the pool, and it was not resumed in time.
    #[error("database \"{database}\" is paused; nothing was handed out within {waited:?}")]
    Paused {
        /// How long the client waited.
        waited: Duration,
        /// The database of the pool.
        database: Arc<str>,
    },
    /// PostgreSQL refuses the login, and will until somebody changes something.
    #[error("the upstream refused the login: {}", .0.cause)]
    Refused(DialFailure),
    /// Nothing became free in time.
    #[error("no server became free within {waited:?}; {leased} of {servers_max} are leased")]
    TimedOut {
        /// How long the client waited.
        waited: Duration,
        /// Servers of the pool that were with clients when time was up.
        leased: u32,
        /// The most servers the pool may have.
        servers_max: u32,
        /// Clients that waited for the pool when time was up, this one included.
        waiting: u32,
        /// The most connections that the upstream allows Tidegate now.
        budget: u32,
        /// How many of them are in use.
        budget_used: u32,
        /// Connections of others to the same upstream.
        foreign: u32,
        /// Why the pool was not allowed one more server, when it was not.
        denied: Option<Denied>,
        /// Why the last attempt to open one failed, when it did.
        failure: Option<DialFailure>,
    },
    /// The upstream could not be reached in time.
    #[error("the upstream can't be reached: {}", .0.cause)]
    Unreachable(DialFailure),
}
