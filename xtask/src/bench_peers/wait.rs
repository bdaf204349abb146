//! Waiting for a condition with a deadline: the one place of the benchmark that sleeps.

use std::time::Duration;

/// Asks `probe` every `pause` until it answers; `None` when it has not within `limit`.
#[expect(clippy::disallowed_types, reason = "a deadline for other processes, not for a machine")]
#[expect(clippy::disallowed_methods, reason = "other processes offer nothing to block on")]
pub(super) fn until<T, E>(
    limit: Duration,
    pause: Duration,
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
        std::thread::sleep(pause);
    }
}
