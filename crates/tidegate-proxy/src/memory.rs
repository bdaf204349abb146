//! The memory that clients take, those of all workers together, and its limit (`listen.memory_max`).
//!
//! Counted is what a client can make grow: bytes that wait for it or from it, notifications that it
//! has not been told, statements that it has named. What each connection takes anyway is bounded by
//! `listen.clients_max` and the budget.
//!
//! ```text
//! 0 ------------- 7/8 of the limit ------------- the limit
//!    all is well     who comes is refused, and      whoever has most is closed,
//!                    whoever would have to wait     one by one
//! ```
//!
//! Texts of statements get half of it at most: beyond that they are not kept, so that there is
//! always something that closing a client gives back.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate_observe::report::megabytes;
use tidegate_session::prepared::interner::StatementBytes;
use tidegate_wire::catalogue::Complaint;

/// What clients take, and the most that they may.
#[derive(Debug)]
pub struct Memory {
    buffers: AtomicUsize,
    statements: StatementBytes,
    max: AtomicUsize,
}

/// A look at it, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryView {
    /// What waits for clients or from them.
    pub buffers: u64,
    /// Statements that they have named; equal ones once.
    pub statements: u64,
    /// The most that both may take.
    pub max: u64,
}

impl Memory {
    pub(crate) fn new(statements: StatementBytes, max: u64) -> Arc<Self> {
        let memory = Self { buffers: AtomicUsize::new(0), statements, max: AtomicUsize::new(0) };
        memory.set_max(max);
        Arc::new(memory)
    }

    /// Another limit holds from now on.
    pub(crate) fn set_max(&self, max: u64) {
        self.max.store(usize::try_from(max).unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    /// Whether there is no more room for statements.
    pub(crate) fn is_full_of_statements(&self) -> bool {
        self.statements.get() > self.max() / 2
    }

    /// Whether no more should come.
    pub fn is_short(&self) -> bool {
        let max = self.max();
        self.used() > max - max / 8
    }

    /// Whether something must go.
    pub(crate) fn is_full(&self) -> bool {
        self.used() > self.max()
    }

    /// A look at it.
    pub fn view(&self) -> MemoryView {
        MemoryView {
            buffers: self.buffers.load(Ordering::Relaxed) as u64,
            statements: self.statements.get() as u64,
            max: self.max() as u64,
        }
    }

    /// What is told to whoever finds no room.
    pub(crate) fn complaint(&self) -> Complaint {
        let (used, max) = (self.used() as u64, self.max() as u64);
        Complaint::memory_short(&megabytes(used), &megabytes(max))
    }

    fn used(&self) -> usize {
        self.buffers.load(Ordering::Relaxed) + self.statements.get()
    }

    fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }
}

/// What one owner takes of it; given back when it is dropped.
#[derive(Default)]
pub(crate) struct Charge {
    /// None: it is not counted.
    memory: Option<Arc<Memory>>,
    bytes: usize,
}

impl Charge {
    pub(crate) fn to(memory: &Arc<Memory>) -> Self {
        Self { memory: Some(memory.clone()), bytes: 0 }
    }

    /// It takes so much now.
    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes == self.bytes {
            return;
        }
        if let Some(memory) = &self.memory {
            let buffers = &memory.buffers;
            match bytes.checked_sub(self.bytes) {
                Some(more) => buffers.fetch_add(more, Ordering::Relaxed),
                None => buffers.fetch_sub(self.bytes - bytes, Ordering::Relaxed),
            };
            self.bytes = bytes;
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl fmt::Debug for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Charge").field(&self.bytes).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_charged_is_given_back() {
        let memory = Memory::new(StatementBytes::default(), 800);
        let mut first = Charge::to(&memory);
        let mut second = Charge::to(&memory);
        first.set(600);
        second.set(100);
        assert_eq!(memory.view(), MemoryView { buffers: 700, statements: 0, max: 800 });
        assert!(!memory.is_short());
        second.set(101);
        assert!(memory.is_short() && !memory.is_full());
        second.set(201);
        assert!(memory.is_full());
        drop(first);
        assert_eq!(memory.view().buffers, 201);
        second.set(7);
        memory.set_max(6);
        assert!(memory.is_full());
        drop(second);
        assert_eq!(memory.view().buffers, 0);
    }

    #[test]
    fn what_is_not_counted_charges_nobody() {
        let mut charge = Charge::default();
        charge.set(5);
        assert_eq!(charge.bytes(), 0);
    }
}
