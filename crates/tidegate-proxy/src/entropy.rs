//! Randomness from the kernel, drawn in bulk: nonces and cancel secrets are short, and one
//! system call per login is one too many.

use tidegate_pool_core::retry::Random;

/// A store of random bytes. Each byte is given out once.
pub(crate) struct Entropy {
    bytes: Vec<u8>,
    /// Where a seed takes the place of the kernel.
    played: Option<Random>,
}

/// One page: enough for a hundred logins.
const STORE_BYTES: usize = 4096;

impl Entropy {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::new(), played: None }
    }

    /// The same for the same seed, for a world that is played.
    pub(crate) fn of(seed: u64) -> Self {
        Self { bytes: Vec::new(), played: Some(Random::new(seed)) }
    }

    /// Fills `out`.
    pub(crate) fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            if self.bytes.is_empty() {
                self.refill();
            }
            *byte = self.bytes.pop().unwrap_or_default();
        }
    }

    fn refill(&mut self) {
        match &mut self.played {
            Some(random) => self.bytes.extend(random.next().to_ne_bytes()),
            None => {
                self.bytes.resize(STORE_BYTES, 0);
                getrandom::fill(&mut self.bytes).expect("the kernel has randomness after boot");
            }
        }
    }

    pub(crate) fn u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_ne_bytes(bytes)
    }
}
