//! Visitors: clients of the admin console, which the control plane serves.
//!
//! A worker logs them in as it does everybody, keeps their connection (TLS and all), and passes on what
//! they say. What they are answered comes back by mail, so no worker waits for the control plane. What
//! is said before the control plane is there waits for it here.
//!
//! Bounds: after each [`Visit::Said`], which has a read's worth of bytes, a visitor is not read from before
//! [`Then::Listen`].

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tidegate_pool_core::server::Port;

use crate::locks::lock;
use crate::token::ClientKey;

/// A visitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VisitorId {
    pub(crate) worker: u16,
    pub(crate) key: ClientKey,
}

/// Who a visitor is.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// The role that it has logged in as.
    pub user: Arc<str>,
    /// What it calls the console.
    pub database: Arc<str>,
    /// The port that it came by.
    pub port: Port,
    /// Where it is; none on a Unix socket.
    pub address: Option<SocketAddr>,
    /// Where it came to; none on a Unix socket.
    pub local_address: Option<SocketAddr>,
    /// The version of TLS, where it speaks that.
    pub tls: Option<&'static str>,
    /// What it calls itself; may be empty.
    pub application: String,
    /// The pid that it was told.
    pub pid: u32,
}

/// What a visitor does.
#[derive(Debug, Clone)]
pub enum Visit {
    /// It has logged in.
    Entered(Box<Visitor>),
    /// It has said something.
    Said(Vec<u8>),
    /// It has gone.
    Left,
}

/// What follows what a visitor is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It may say more.
    Listen,
    /// More is to be told it first.
    Wait,
    /// The connection ends.
    Close,
}

type Bell = Box<dyn Fn() + Send + Sync>;

/// Where what visitors do waits for the control plane.
#[derive(Default)]
pub(crate) struct Reception {
    visits: Mutex<VecDeque<(VisitorId, Visit)>>,
    bell: Mutex<Option<Bell>>,
}

impl Reception {
    pub(crate) fn put(&self, id: VisitorId, visit: Visit) {
        lock(&self.visits).push_back((id, visit));
        if let Some(bell) = &*lock(&self.bell) {
            bell();
        }
    }

    pub(crate) fn set_bell(&self, bell: Bell) {
        bell(); // Somebody may have come before.
        *lock(&self.bell) = Some(bell);
    }

    pub(crate) fn take(&self) -> VecDeque<(VisitorId, Visit)> {
        std::mem::take(&mut lock(&self.visits))
    }
}
