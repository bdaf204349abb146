//! The clock: the only place of the data plane that reads one.

#![expect(clippy::disallowed_types, reason = "this is the clock")]

use std::time::Instant;

use tidegate_wire::tick::Tick;

/// Counts from the moment it was made. Copies agree.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[expect(clippy::new_without_default, reason = "a clock is made at one moment, on purpose")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// What time it is.
    pub fn now(&self) -> Tick {
        let nanos = self.start.elapsed().as_nanos();
        Tick::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}
