//! The clock: the only place of the data plane that reads one.

#![expect(clippy::disallowed_types, reason = "this is the clock")]

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tidegate_wire::tick::Tick;

use crate::world::World;

/// The time of the calendar, in seconds since 1970-01-01T00:00:00Z: for what others have dated. It may
/// jump, so nothing is measured by it.
pub fn seconds_since_1970() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Counts from the moment it was made. Clones agree.
#[derive(Debug, Clone)]
pub struct Clock(Time);

#[derive(Debug, Clone)]
enum Time {
    Since(Instant),
    Played(Arc<dyn World>),
}

impl Clock {
    /// A clock that starts now.
    #[expect(clippy::new_without_default, reason = "a clock is made at one moment, on purpose")]
    pub fn new() -> Self {
        Self(Time::Since(Instant::now()))
    }

    /// The clock of a world that is played.
    pub(crate) fn of(world: Arc<dyn World>) -> Self {
        Self(Time::Played(world))
    }

    /// What time it is.
    pub fn now(&self) -> Tick {
        match &self.0 {
            Time::Since(start) => {
                let nanos = start.elapsed().as_nanos();
                Tick::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
            }
            Time::Played(world) => world.now(),
        }
    }
}
