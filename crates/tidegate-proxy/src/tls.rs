//! TLS: who we are, whom we believe, and a connection that is not clear text.
//!
//! - [`acceptor`]: towards clients: our certificate, and what we ask of theirs.
//! - [`connector`]: towards PostgreSQL: whom we believe, and what we show.
//! - `verifier`: whether to believe a server's certificate.
//! - [`connection`]: one connection: handshake, decrypting, encrypting. It owns no socket.
//! - [`files`]: certificates and keys from files, and what can be wrong with them.
//! - [`expiry`]: certificates of our own that have expired, or soon will.
//! - [`failure`]: what is wrong with a certificate, and why a handshake came to nothing.
//!
//! TLS 1.2 and 1.3 by rustls with ring, and nothing else. Sessions are not resumed, in either
//! role: PostgreSQL has switched that off too, connections of a pool live long, and what is not
//! kept costs no memory and cannot be stolen.

pub mod acceptor;
pub mod connector;
mod verifier;
pub mod connection;
pub mod expiry;
pub mod files;
pub mod failure;

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};

/// How a connection comes to speak TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// After an SSLRequest and the answer `S`.
    Requested,
    /// With its first byte. Then both sides must have named the protocol that follows (ALPN), or
    /// a peer that speaks another one could be made to talk to us (PostgreSQL 17, `sslnegotiation`).
    Direct,
}

/// The protocol's name in ALPN (IANA's registry; PostgreSQL 17, "SSL Session Encryption").
const ALPN: &[u8] = b"postgresql";

/// Where the cryptography comes from: always said, so that no other crate's choice of a default
/// can change it.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
