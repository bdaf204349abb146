//! A small generator of random numbers that gives the same ones for the same seed, everywhere.

use std::hash::{BuildHasher as _, RandomState};

/// SplitMix64 (Steele, Lea, Flood 2014): any seed will do, also neighbouring ones.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// One stream of numbers for each input of a seed.
    pub(crate) fn new(seed: u64, index: u64) -> Self {
        let mut mixed = Self(seed);
        Self(mixed.next() ^ index.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 if that is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = end.max(1) as u64;
        (self.next() % end) as usize
    }

    pub(crate) fn byte(&mut self) -> u8 {
        (self.next() >> 56) as u8
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let index = self.below(of.len());
        of.get(index)
    }
}

/// A seed that nobody chose.
pub(crate) fn draw_seed() -> u64 {
    // Short, because people will type it.
    RandomState::new().hash_one(()) >> 40
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_published_generator() {
        let mut random = Random(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn each_input_has_numbers_of_its_own() {
        let mut first: Vec<u64> = (0..1000).map(|index| Random::new(1, index).next()).collect();
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), 1000);
    }
}
