//! A counter that any thread may move.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter that several workers may move.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    pub fn add(&self, by: u64) {
        if by > 0 {
            self.0.fetch_add(by, Ordering::Relaxed);
        }
    }

    /// The sum.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
