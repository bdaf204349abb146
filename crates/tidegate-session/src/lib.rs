//! What a client and a server may say next, and what becomes of each byte.
//!
//! The machines of the gate, in the order in which a connection meets them: a client logs in
//! ([`client_login`]), says what it wants ([`client`]), and is joined to a server whose machine
//! ([`server`]) passes answers on, swallows those to Tidegate's own messages, and knows when
//! nothing is owed any more ([`exchange`]). Statements that clients prepare are shared by all who
//! define them alike ([`prepared`]). A server has logged in before ([`server_login`]), over TLS
//! where it is asked for ([`tls_request`]). Who logs in to the admin console has no server, and talks
//! to the control plane ([`console`]). No machine here reads a clock, a socket, or a random
//! number.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::as_conversions
    )
)]

#[doc(hidden)]
pub mod fuzzing;

pub mod client_login;
pub mod server_login;
pub mod tls_request;

pub mod client;
pub mod server;

pub mod console;

pub mod exchange;
pub mod prepared;
pub mod examination;
pub mod listen;
pub mod outcome;
pub mod traces;
pub mod sniff;
pub mod sql;
pub mod pin;

pub mod parameters;
pub mod pieces;
pub mod splitter;
