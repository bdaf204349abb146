//! Choices that follow from a seed alone (SplitMix64).

/// A source of choices.
pub(crate) struct Random(u64);

impl Random {
    /// The choices for one operation of one client: the same whatever has happened before it.
    pub(crate) fn of(seed: u64, client: usize, operation: u64) -> Self {
        let mut random = Self(seed);
        let mixed = random.next() ^ (client as u64).wrapping_mul(0xd134_2543_de82_ef95);
        let mut random = Self(mixed);
        let mixed = random.next() ^ operation.wrapping_mul(0xaf25_1af3_b0f0_25b5);
        Self(mixed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
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
