//! Many runs, on all cores.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tidegate_proxy::clock::Clock;
use tidegate_wire::tick::Tick;

use crate::play::{Outcome, play_focused};
use crate::scenario::Focus;

/// What came of many runs.
#[derive(Debug, Default)]
pub struct Summary {
    /// How many there were.
    pub runs: u64,
    /// What happened in all of them.
    pub steps: u64,
    /// Lines that applications wrote.
    pub lines: u64,
    /// How long they took.
    pub took: Duration,
    /// Those that failed.
    pub failures: Vec<Outcome>,
}

/// Plays seeds from `from` on: `runs` of them, or as many as there is time for. What there is more of
/// follows from the seed if `focus` does not say it.
pub fn play_all(from: u64, runs: u64, limit: Option<Duration>, focus: Option<Focus>) -> Summary {
    let clock = Clock::new();
    let elapsed = || clock.now().since(Tick::ZERO);
    let next = AtomicU64::new(from);
    let summary = Mutex::new(Summary::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let is_late = limit.is_some_and(|limit| elapsed() > limit);
            if seed.wrapping_sub(from) >= runs || is_late {
                return;
            }
            let outcome = play_focused(seed, focus);
            let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
            summary.runs += 1;
            summary.steps += outcome.steps as u64;
            summary.lines += outcome.lines as u64;
            if outcome.failure.is_some() {
                summary.failures.push(outcome);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    summary.took = elapsed();
    summary.failures.sort_unstable_by_key(|outcome| outcome.seed);
    summary
}
