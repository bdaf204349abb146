//! Waiting for another process with a deadline: the one place that sleeps.

use std::time::Duration;

/// Asks `probe` every `pause` until it answers; `None` when it has not within `limit`.
///
/// # Errors
/// Those of `probe`.
#[expect(clippy::disallowed_types, reason = "a deadline for another process, not for a machine")]
#[expect(clippy::disallowed_methods, reason = "other processes offer nothing to block on")]
pub fn until<T, E>(
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_until_the_probe_answers() {
        let mut asked = 0;
        let found = until(Duration::from_secs(10), Duration::ZERO, || {
            asked += 1;
            Ok::<_, ()>((asked == 3).then_some(asked))
        });
        assert_eq!(found, Ok(Some(3)));
    }

    #[test]
    fn asks_once_even_without_any_time() {
        let found = until(Duration::ZERO, Duration::ZERO, || Ok::<_, ()>(None::<()>));
        assert_eq!(found, Ok(None));
    }
}
