//! When the upstream may be dialed again after it refused or failed.
//!
//! ```text
//!  Closed --attempts failures in a row--> Open: one probe per step
//!  Open   --success--------------------> Closed
//! ```

use std::sync::Arc;
use std::time::Duration;

use tidegate_wire::sqlstate::SqlState;
use tidegate_wire::tick::Tick;

use crate::settings::RetrySettings;

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// The upstream has no connection to give (53300, or a pooler's words for it).
    Full,
    /// The login can't succeed as it stands: wrong password, no such database, no such role.
    Permanent,
    /// It may work in a moment: refused, unreachable, starting up, timed out.
    Transient,
}

impl FailureKind {
    /// All kinds, for metrics that start at zero.
    pub const ALL: [Self; 3] = [Self::Full, Self::Permanent, Self::Transient];

    /// The word for logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Permanent => "permanent",
            Self::Transient => "transient",
        }
    }
}

/// Why a dial failed. No statement was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialFailure {
    /// Whether trying again can help.
    pub kind: FailureKind,
    /// What PostgreSQL said, when it got to say something.
    pub sqlstate: Option<SqlState>,
    /// The cause in words, without secrets.
    pub cause: Arc<str>,
}

/// How long a permanent failure is remembered, so that a loop of logins with a wrong database
/// name does not become a loop of logins on the server. Short: the cure is often seconds away.
pub const PERMANENT_REMEMBERED: Duration = Duration::from_secs(2);

/// The state of dialing of one upstream.
#[derive(Debug)]
pub struct Retry {
    settings: RetrySettings,
    failures: u32,
    not_before: Tick,
    last: Option<DialFailure>,
    /// Retries that may still be sent at the usual pace.
    tokens: f64,
    random: Random,
}

/// Retries in reserve. An upstream that has failed this often and earned nothing back is not
/// having a bad moment but a bad day.
const TOKENS_MAX: f64 = 10.0;

impl Retry {
    /// Nothing has failed yet. `seed` makes the jitter.
    pub fn new(settings: RetrySettings, seed: u64) -> Self {
        Self {
            settings,
            failures: 0,
            not_before: Tick::ZERO,
            last: None,
            tokens: TOKENS_MAX,
            random: Random::new(seed),
        }
    }

    /// Whether one more dial may start, when `dialing` are under way on the whole upstream.
    pub fn permits(&self, dialing: u32, now: Tick) -> bool {
        now >= self.not_before && (!self.is_open() || dialing == 0)
    }

    /// Whether so much failed in a row that only probes are sent.
    pub fn is_open(&self) -> bool {
        self.failures >= self.settings.attempts.max(1)
    }

    /// When the next dial may start; `None` when at once.
    pub fn next(&self, now: Tick) -> Option<Tick> {
        (self.not_before > now).then_some(self.not_before)
    }

    /// The last failure, as long as no success came after it.
    pub fn last(&self) -> Option<&DialFailure> {
        self.last.as_ref()
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// How much of a further retry each success earns.
    pub(crate) fn earns(&self) -> f64 {
        self.settings.budget
    }

    /// A dial succeeded.
    pub fn succeeded(&mut self) {
        self.tokens = (self.tokens + self.settings.budget).min(TOKENS_MAX);
        self.forgive();
    }

    /// Other settings hold from the next failure on.
    pub(crate) fn set_settings(&mut self, settings: RetrySettings) {
        self.settings = settings;
    }

    /// Somebody says that the upstream is back: the next dial may start at once.
    pub(crate) fn forgive(&mut self) {
        self.failures = 0;
        self.not_before = Tick::ZERO;
        self.last = None;
    }

    /// A dial failed in a way that may pass. Says when the next may start.
    pub fn failed(&mut self, failure: DialFailure, now: Tick) -> Tick {
        let pause = if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            self.pause()
        } else {
            self.settings.max
        };
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + pause;
        self.last = Some(failure);
        self.not_before
    }

    /// Drawn from [min, max(min, min(max, multiplier x 2^n))]; where that is a point, up to a
    /// fifth is added, so that many instances do not return in step.
    fn pause(&mut self) -> Duration {
        let RetrySettings { multiplier, min, max, jitter, .. } = self.settings;
        let step = multiplier.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        let upper = step.min(max).max(min);
        if !jitter {
            return upper;
        }
        let (from, span) = if upper == min { (min, min / 5) } else { (min, upper - min) };
        from + span.mul_f64(self.random.unit())
    }

    /// A number in [0, 1) from the same source as the jitter.
    pub(crate) fn unit(&mut self) -> f64 {
        self.random.unit()
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough for jitter, and a seed replays it.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers that follow from this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next of 2^64 numbers.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// The next number in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(min: u64, max: u64) -> Retry {
        let settings = RetrySettings {
            attempts: 3,
            multiplier: Duration::from_secs(1),
            min: Duration::from_secs(min),
            max: Duration::from_secs(max),
            jitter: true,
            budget: 0.5,
        };
        Retry::new(settings, 7)
    }

    fn failure() -> DialFailure {
        DialFailure { kind: FailureKind::Transient, sqlstate: None, cause: "refused".into() }
    }

    #[test]
    fn pauses_stay_within_their_interval() {
        for _ in 0..100 {
            let mut retry = retry(2, 10);
            let mut now = Tick::ZERO;
            for (low, high) in [(2.0, 2.4), (2.0, 2.4), (2.0, 4.0), (2.0, 8.0), (2.0, 10.0)] {
                let next = retry.failed(failure(), now);
                let pause = next.since(now).as_secs_f64();
                assert!((low..=high).contains(&pause), "{pause} is not in {low}..={high}");
                now = next;
            }
        }
    }

    #[test]
    fn who_fails_again_and_again_waits_for_longest_until_successes_have_earned_it_back() {
        let mut retry = retry(2, 10);
        for _ in 0..10 {
            retry.failed(failure(), Tick::ZERO);
        }
        retry.succeeded(); // Half a retry.
        assert_eq!(retry.failed(failure(), Tick::ZERO), Tick::ZERO + Duration::from_secs(10));
        retry.succeeded();
        let next = retry.failed(failure(), Tick::ZERO).since(Tick::ZERO);
        assert!(next < Duration::from_secs(3), "{next:?}");
    }

    #[test]
    fn after_the_attempts_only_one_probe_at_a_time() {
        let mut retry = retry(0, 0);
        for _ in 0..3 {
            assert!(retry.permits(1, Tick::ZERO));
            retry.failed(failure(), Tick::ZERO);
        }
        assert!(retry.is_open());
        assert!(!retry.permits(1, Tick::ZERO));
        assert!(retry.permits(0, Tick::ZERO));
        retry.succeeded();
        assert!(retry.permits(1, Tick::ZERO));
        assert_eq!(retry.last(), None);
    }
}
