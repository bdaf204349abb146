//! Waiting for a condition with a deadline: the one place of this crate that sleeps.

use std::time::Duration;

use crate::error::ScratchError;

/// Asks `probe` until it answers; `None` when it has not within `limit`.
#[expect(clippy::disallowed_types, reason = "a deadline for another process, not for a machine")]
#[expect(clippy::disallowed_methods, reason = "PostgreSQL offers nothing to block on here")]
pub(crate) fn until<T>(
    limit: Duration,
    mut probe: impl FnMut() -> Result<Option<T>, ScratchError>,
) -> Result<Option<T>, ScratchError> {
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

/// Short beside the 40 ms or so that a start takes, long beside the cost of a probe.
const BETWEEN_PROBES: Duration = Duration::from_millis(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_until_the_probe_answers() {
        let mut asked = 0;
        let found = until(Duration::from_secs(10), || {
            asked += 1;
            Ok((asked == 3).then_some(asked))
        });
        assert_eq!(found.unwrap(), Some(3));
    }

    #[test]
    fn asks_once_even_without_any_time() {
        let found = until(Duration::ZERO, || Ok(None::<()>));
        assert_eq!(found.unwrap(), None);
    }
}
