//! Choices that follow from a seed.

use std::ops::RangeInclusive;
use std::time::Duration;

use tidegate_pool_core::retry;

/// A source of choices.
#[derive(Debug)]
pub struct Random(retry::Random);

impl Random {
    /// The choices that follow from this seed.
    pub fn new(seed: u64) -> Self {
        Self(retry::Random::new(seed))
    }

    /// Another source, whose choices do not depend on how many are made here.
    pub fn fork(&mut self) -> Self {
        Self::new(self.0.next())
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0.next()
    }

    /// A number below `end`, which is not zero.
    pub fn below(&mut self, end: usize) -> usize {
        (self.0.next() % end as u64) as usize
    }

    /// A number from `from` to `to`.
    pub fn between(&mut self, from: usize, to: usize) -> usize {
        from + self.below(to - from + 1)
    }

    /// A number of this range.
    pub fn within(&mut self, range: &RangeInclusive<usize>) -> usize {
        self.between(*range.start(), *range.end())
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// A time up to `most`: mostly a small part of it, since that is where interleavings are.
    pub fn time(&mut self, most: Duration) -> Duration {
        let unit = self.0.unit();
        most.mul_f64(unit * unit * unit)
    }
}
