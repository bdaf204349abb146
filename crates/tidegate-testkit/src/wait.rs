//! Waiting for a condition, with a deadline.

#![expect(clippy::disallowed_types, reason = "a deadline of a test is real time")]
#![expect(
    clippy::disallowed_methods,
    reason = "looks at something at a steady pace, which is no waiting"
)]

use std::convert::Infallible;
use std::time::{Duration, Instant};

use tidegate_scratch::wait;

/// How long a test waits before it calls a condition unmet. Machines are slow now and then.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until `look` finds something.
///
/// # Panics
/// When it does not within [`DEADLINE`].
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_within(DEADLINE, what, look)
}

/// Waits until `look` finds something, at most `limit`.
///
/// # Panics
/// When it does not.
pub fn until_within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let Ok(found) = wait::until(limit, BETWEEN_LOOKS, || Ok::<_, Infallible>(look()));
    found.unwrap_or_else(|| panic!("not within {limit:?}: {what}"))
}

/// Waits until `look` has found the same for a while, and gives that: what it looks at has come to a
/// stand.
///
/// # Panics
/// When it does not within [`DEADLINE`].
pub fn until_still<T: Copy + PartialEq>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let (mut last, mut looks) = (None, 0);
    until(what, || {
        let found = look();
        let is_still = found.is_some() && found == last;
        looks = if is_still { looks + 1 } else { 0 };
        last = found;
        found.filter(|_| looks > STILL_LOOKS)
    })
}

/// So many looks in a row find the same where nothing goes on: a tenth of a second at least.
const STILL_LOOKS: u32 = 20;

/// Short beside anything that a test waits for, long beside the cost of a look.
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// How long `run` takes, and what it gives.
pub fn timed<T>(run: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = run();
    (start.elapsed(), result)
}

/// Looks at something every `pause` until `stop` says so, and says how often.
pub fn poll_every(pause: Duration, mut look: impl FnMut(), mut stop: impl FnMut() -> bool) -> u32 {
    let mut looks = 0;
    while !stop() {
        look();
        looks += 1;
        std::thread::sleep(pause);
    }
    looks
}

/// A moment from which time is measured.
pub fn stopwatch() -> impl Fn() -> Duration {
    let start = Instant::now();
    move || start.elapsed()
}
