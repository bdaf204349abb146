//! The slot: permission to hold one connection open, as a value.

use std::sync::{Arc, PoisonError};

#[cfg(feature = "loom")]
use loom::sync::Mutex;
#[cfg(not(feature = "loom"))]
use std::sync::Mutex;

/// The right to hold one connection to the upstream open.
///
/// Only [`crate::budget::Budget::take`] makes one. It must live until the PostgreSQL process
/// behind the connection has gone, not merely until the socket is closed; dropping it gives the
/// place back, so an error path cannot forget to.
#[derive(Debug)]
#[must_use = "dropping a slot gives it back at once"]
pub struct Slot {
    number: u32,
    returns: Returns,
}

impl Slot {
    pub(crate) fn new(number: u32, returns: Returns) -> Self {
        Self { number, returns }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.returns.put(self.number);
    }
}

/// Where dropped slots wait to be counted down. A slot may be dropped anywhere, also while the
/// budget itself is borrowed, so it only leaves its number here; the budget collects.
#[derive(Debug, Clone, Default)]
pub(crate) struct Returns(Arc<Mutex<Vec<u32>>>);

impl Returns {
    fn put(&self, number: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(number);
    }

    pub(crate) fn take(&self) -> Vec<u32> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
