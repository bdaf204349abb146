//! Choices that follow from a seed alone.

use tidegate_pool_core::retry;

/// A source of choices.
pub(crate) struct Random(retry::Random);

impl Random {
    /// The choices for one operation of one client: the same whatever has happened before it.
    pub(crate) fn of(seed: u64, client: usize, operation: u64) -> Self {
        let first = |seed: u64| retry::Random::new(seed).next();
        let mixed = first(seed) ^ (client as u64).wrapping_mul(0xd134_2543_de82_ef95);
        let mixed = first(mixed) ^ operation.wrapping_mul(0xaf25_1af3_b0f0_25b5);
        Self(retry::Random::new(mixed))
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.0.next() % end as u64) as usize
    }

    /// True once in so many times.
    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of them.
    pub(crate) fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}
