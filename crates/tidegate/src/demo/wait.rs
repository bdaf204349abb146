//! Waiting for a condition with a deadline: the one place of the demo that sleeps.

use std::time::Duration;

/// Asks `probe` until it answers; `None` when it has not within `limit`.
#[expect(clippy::disallowed_types, reason = "a deadline for other processes, not for a machine")]
#[expect(clippy::disallowed_methods, reason = "other processes offer nothing to block on")]
pub(crate) fn until<T, E>(
    limit: Duration,
    mut probe: impl FnMut() -> Result<Option<T>, E>,
) -> Result<Option<T>, E> {
    let start = std::time::Instant::now();
    loop {
        if let Some(found) = probe()? {
            return Ok(Some(found));
        }
        if start.elapsed() >= limit {
            return Ok(None);
        }
        std::thread::sleep(BETWEEN_PROBES);
    }
}

/// Short beside the second that an application takes to start, long beside the cost of a probe.
const BETWEEN_PROBES: Duration = Duration::from_millis(20);
