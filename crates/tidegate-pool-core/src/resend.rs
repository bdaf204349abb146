//! How often batches may be sent again, so that sending again never becomes the next outage.
//!
//! A bucket of tokens for the whole upstream: what is sent again takes one, a lease that ends well
//! earns a part of one ([`RetrySettings::budget`](crate::settings::RetrySettings::budget)). In the
//! long run that adds at most this part to the load of an upstream in trouble, and where every
//! server that is dialed dies under its first client, clients are told so instead of going round.

/// In reserve: an upstream may lose all its servers at once, each under a client's batch, and who
/// has more than a hundred has earned tokens long before.
const TOKENS_MAX: f64 = 100.0;

/// What may still be sent again.
#[derive(Debug)]
pub struct Resends {
    tokens: f64,
    earns: f64,
}

impl Resends {
    /// All of the reserve is there. `earns`: how much of a token each success brings.
    pub fn new(earns: f64) -> Self {
        Self { tokens: TOKENS_MAX, earns }
    }

    /// Each success brings another part from now on; what is there stays.
    pub fn set_earns(&mut self, earns: f64) {
        self.earns = earns;
    }

    /// A lease has ended well.
    pub fn succeeded(&mut self) {
        self.tokens = (self.tokens + self.earns).min(TOKENS_MAX);
    }

    /// Whether a batch may be sent again; then it is taken to be.
    #[must_use]
    pub fn take(&mut self) -> bool {
        let may = self.tokens >= 1.0;
        if may {
            self.tokens -= 1.0;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(resends: &mut Resends) -> u32 {
        (0..1000).map(|_| u32::from(resends.take())).sum()
    }

    #[test]
    fn the_reserve_is_for_an_upstream_that_loses_everything_once() {
        let mut resends = Resends::new(0.1);
        assert_eq!(taken(&mut resends), 100);
        assert_eq!(taken(&mut resends), 0);
    }

    #[test]
    fn ten_successes_earn_one_and_no_more_than_the_reserve() {
        let mut resends = Resends::new(0.1);
        taken(&mut resends);
        (0..9).for_each(|_| resends.succeeded());
        assert!(!resends.take());
        (0..2).for_each(|_| resends.succeeded());
        assert!(resends.take());
        assert!(!resends.take());
        (0..10_000).for_each(|_| resends.succeeded());
        assert_eq!(taken(&mut resends), 100);
    }

    #[test]
    fn other_settings_change_what_is_earned_and_not_what_is_there() {
        let mut resends = Resends::new(1.0);
        taken(&mut resends);
        resends.succeeded();
        resends.set_earns(0.0);
        resends.succeeded();
        assert_eq!(taken(&mut resends), 1);
    }

    #[test]
    fn where_nothing_is_earned_the_reserve_is_all() {
        let mut resends = Resends::new(0.0);
        (0..100).for_each(|_| resends.succeeded());
        assert_eq!(taken(&mut resends), 100);
        (0..100).for_each(|_| resends.succeeded());
        assert!(!resends.take());
    }
}
