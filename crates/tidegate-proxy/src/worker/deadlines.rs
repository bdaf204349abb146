//! Deadlines: when what a client does has taken too long, as one value without I/O.
//!
//! A client has one alarm. What it is at ([`Activity`]) starts and stops clocks, and
//! [`Deadlines::next`] says which of them runs out first. Most clocks only ever move the alarm to
//! a later time, which costs nothing (`timers.rs`); so the value is asked again when the alarm
//! fires, and whatever moved in between need not have been told.
//!
//! Cost: a few comparisons each time that either side has said something; it allocates nothing.

use std::time::Duration;

use tidegate_config::ClientTimeouts;
use tidegate_observe::front::Timeout;
use tidegate_wire::tick::Tick;

/// What a client is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    /// Nothing of it is under way. It may have been told that a transaction has begun of which
    /// PostgreSQL does not know yet.
    Idle,
    /// It waits for notifications, with nothing else under way.
    Listening,
    /// It waits for a server, or for one to be made ready, which have limits of their own.
    Waiting,
    /// It has a transaction, or something that will end as one.
    Working {
        /// PostgreSQL works on something for it.
        is_running: bool,
        /// PostgreSQL waits for what only the client can say.
        owes: bool,
    },
}

/// What has taken too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expired {
    /// The client's time for this is up.
    Limit(Timeout, Duration),
    /// Its statement has been cancelled for that, and has not ended.
    NotCancelled(Duration),
}

/// The clocks of a client: for each since when it runs; [`Tick::NEVER`] when it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deadlines {
    /// The client's last word; this one always runs.
    spoke: Tick,
    /// When it last had not got all of its answer: nobody is silent before that.
    unanswered: Tick,
    idle: Tick,
    owing: Tick,
    transaction: Tick,
    query: Tick,
    cancelled: Tick,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            spoke: Tick::ZERO,
            unanswered: Tick::ZERO,
            idle: Tick::NEVER,
            owing: Tick::NEVER,
            transaction: Tick::NEVER,
            query: Tick::NEVER,
            cancelled: Tick::NEVER,
        }
    }
}

impl Deadlines {
    /// The client has said something.
    pub(super) fn spoke(&mut self, now: Tick) {
        self.spoke = now;
    }

    /// Something of the client's answer waits for the kernel to take it, or did until now.
    pub(super) fn is_unanswered(&mut self, now: Tick) {
        self.unanswered = now;
    }

    /// The client has got so many answers whole, and with them the ends of so many transactions.
    /// What was sent behind them begins now ([`Deadlines::is_at`] follows), as PostgreSQL takes one
    /// after another.
    pub(super) fn answered(&mut self, batches: u32, transactions: u32) {
        if batches > 0 {
            self.query = Tick::NEVER;
            self.cancelled = Tick::NEVER;
        }
        if transactions > 0 {
            self.transaction = Tick::NEVER;
        }
    }

    /// The statement under way has been cancelled because its time was up.
    pub(super) fn cancelled(&mut self, now: Tick) {
        self.cancelled = now;
    }

    /// The client is at this now.
    pub(super) fn is_at(&mut self, activity: Activity, now: Tick) {
        let (is_running, owes, is_working) = match activity {
            Activity::Working { is_running, owes } => (is_running, owes, true),
            Activity::Idle | Activity::Listening | Activity::Waiting => (false, false, false),
        };
        run(&mut self.idle, activity == Activity::Idle, now);
        run(&mut self.owing, owes, now);
        run(&mut self.transaction, is_working, now);
        run(&mut self.query, is_running, now);
        if !is_running {
            self.cancelled = Tick::NEVER;
        }
    }

    /// Since when it is at this, as [`Deadlines::is_at`] was told.
    pub(super) fn since(&self, activity: Activity) -> Tick {
        let since = match activity {
            Activity::Idle => self.silent(self.idle),
            Activity::Working { is_running: true, .. } => self.query,
            Activity::Working { .. } => self.silent(self.owing),
            Activity::Listening | Activity::Waiting => self.spoke,
        };
        if since == Tick::NEVER { self.spoke } else { since }
    }

    /// The client's last word.
    pub(super) fn spoke_at(&self) -> Tick {
        self.spoke
    }

    /// Since when it has a transaction; [`Tick::NEVER`] when it has none.
    pub(super) fn in_transaction_since(&self) -> Tick {
        self.transaction
    }

    /// What runs out first, and when, if anything does. `cancel_max`: how long a statement that
    /// was cancelled may go on.
    pub(super) fn next(
        &self,
        limits: &ClientTimeouts,
        cancel_max: Duration,
    ) -> Option<(Tick, Expired)> {
        let end = |since: Tick, kind, limit: Option<Duration>| {
            let limit = limit?;
            (since < Tick::NEVER).then(|| (since + limit, Expired::Limit(kind, limit)))
        };
        let query = match limits.query {
            Some(limit) if self.cancelled < Tick::NEVER => {
                Some((self.cancelled + cancel_max, Expired::NotCancelled(limit)))
            }
            limit => end(self.query, Timeout::Query, limit),
        };
        // Of those that run out together, the one that ends most counts, as in PostgreSQL 17
        // ("transaction_timeout").
        let all = [
            end(self.transaction, Timeout::Transaction, limits.transaction),
            end(self.silent(self.owing), Timeout::IdleInTransaction, limits.idle_in_transaction),
            query,
            end(self.silent(self.idle), Timeout::ClientIdle, limits.client_idle),
        ];
        all.into_iter().flatten().min_by_key(|(due, _)| *due)
    }

    /// Since when the client is silent, of a time that began at `since`.
    fn silent(&self, since: Tick) -> Tick {
        if since == Tick::NEVER { since } else { since.max(self.spoke).max(self.unanswered) }
    }
}

/// A clock runs from now on, if it does not run already; or it stops.
fn run(clock: &mut Tick, runs: bool, now: Tick) {
    *clock = match runs {
        true => (*clock).min(now),
        false => Tick::NEVER,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANCEL_MAX: Duration = Duration::from_secs(5);
    const RUNNING: Activity = Activity::Working { is_running: true, owes: false };
    const OWING: Activity = Activity::Working { is_running: false, owes: true };
    const COPYING: Activity = Activity::Working { is_running: true, owes: true };

    fn at(seconds: u64) -> Tick {
        Tick::ZERO + Duration::from_secs(seconds)
    }

    /// Limits in seconds; zero is off.
    fn limits(
        idle_in_transaction: u64,
        transaction: u64,
        query: u64,
        client_idle: u64,
    ) -> ClientTimeouts {
        let limit = |seconds| (seconds > 0).then(|| Duration::from_secs(seconds));
        ClientTimeouts {
            idle_in_transaction: limit(idle_in_transaction),
            transaction: limit(transaction),
            query: limit(query),
            client_idle: limit(client_idle),
        }
    }

    /// What runs out first: when, and the word for it.
    fn next(deadlines: &Deadlines, limits: &ClientTimeouts) -> Option<(u64, &'static str)> {
        let (due, expired) = deadlines.next(limits, CANCEL_MAX)?;
        let word = match expired {
            Expired::Limit(kind, _) => kind.as_str(),
            Expired::NotCancelled(_) => "not_cancelled",
        };
        Some((due.since(Tick::ZERO).as_secs(), word))
    }

    #[test]
    fn a_query_is_timed_from_when_it_was_sent_until_it_is_answered() {
        let (mut deadlines, limits) = (Deadlines::default(), limits(0, 0, 10, 0));
        assert_eq!(next(&deadlines, &limits), None);
        deadlines.is_at(RUNNING, at(3));
        deadlines.is_at(RUNNING, at(9));
        assert_eq!(next(&deadlines, &limits), Some((13, "query")), "rows move nothing");
        deadlines.answered(1, 0);
        deadlines.is_at(OWING, at(11));
        assert_eq!(next(&deadlines, &limits), None);
    }

    #[test]
    fn each_batch_of_a_pipeline_has_its_own_time() {
        let (mut deadlines, limits) = (Deadlines::default(), limits(0, 20, 10, 0));
        deadlines.is_at(RUNNING, at(0));
        deadlines.answered(1, 0);
        deadlines.is_at(RUNNING, at(8));
        assert_eq!(next(&deadlines, &limits), Some((18, "query")));
        deadlines.answered(1, 0);
        deadlines.is_at(RUNNING, at(16));
        assert_eq!(next(&deadlines, &limits), Some((20, "transaction")), "it goes on");
        deadlines.answered(1, 1);
        deadlines.is_at(RUNNING, at(19));
        assert_eq!(next(&deadlines, &limits), Some((29, "query")));
    }

    #[test]
    fn a_statement_that_was_cancelled_has_some_time_left_to_end() {
        let (mut deadlines, limits) = (Deadlines::default(), limits(0, 0, 10, 0));
        deadlines.is_at(RUNNING, at(0));
        deadlines.cancelled(at(10));
        deadlines.is_at(RUNNING, at(11));
        assert_eq!(next(&deadlines, &limits), Some((15, "not_cancelled")));
        deadlines.answered(1, 1);
        deadlines.is_at(RUNNING, at(12));
        assert_eq!(next(&deadlines, &limits), Some((22, "query")), "the next one is not cancelled");
        deadlines.cancelled(at(22));
        deadlines.is_at(OWING, at(23));
        deadlines.is_at(RUNNING, at(24));
        assert_eq!(next(&deadlines, &limits), Some((34, "query")), "it failed without a Sync");
    }

    #[test]
    fn a_transaction_lasts_whatever_is_done_in_it() {
        let (mut deadlines, limits) = (Deadlines::default(), limits(30, 60, 0, 5));
        deadlines.is_at(RUNNING, at(1));
        for second in 2..50 {
            deadlines.spoke(at(second));
            deadlines.is_at(if second % 2 == 0 { RUNNING } else { OWING }, at(second));
        }
        assert_eq!(next(&deadlines, &limits), Some((61, "transaction")));
        deadlines.is_at(Activity::Idle, at(55));
        assert_eq!(next(&deadlines, &limits), Some((60, "client_idle")));
    }

    #[test]
    fn silence_counts_from_the_last_word_while_something_is_owed() {
        let (mut deadlines, limits) = (Deadlines::default(), limits(10, 0, 0, 0));
        deadlines.spoke(at(1));
        deadlines.is_at(RUNNING, at(1));
        assert_eq!(next(&deadlines, &limits), None, "it is PostgreSQL's turn");
        deadlines.is_at(OWING, at(20));
        assert_eq!(next(&deadlines, &limits), Some((30, "idle_in_transaction")));
        deadlines.is_at(OWING, at(25));
        assert_eq!(next(&deadlines, &limits), Some((30, "idle_in_transaction")), "not its word");
        deadlines.spoke(at(26));
        deadlines.is_at(OWING, at(26));
        assert_eq!(next(&deadlines, &limits), Some((36, "idle_in_transaction")));
    }

    #[test]
    fn silence_counts_from_when_the_answer_was_handed_over() {
        let (mut deadlines, limits) = (Deadlines::default(), limits(10, 0, 0, 20));
        deadlines.spoke(at(1));
        deadlines.is_at(OWING, at(2));
        deadlines.is_unanswered(at(8));
        deadlines.is_at(OWING, at(8));
        assert_eq!(next(&deadlines, &limits), Some((18, "idle_in_transaction")));
        deadlines.is_at(Activity::Idle, at(9));
        deadlines.is_unanswered(at(15));
        deadlines.is_at(Activity::Idle, at(15));
        assert_eq!(next(&deadlines, &limits), Some((35, "client_idle")));
        assert_eq!(deadlines.spoke_at(), at(1), "it has said nothing");
    }

    #[test]
    fn a_copy_is_a_statement_and_its_client_may_stall() {
        let (mut deadlines, limits) = (Deadlines::default(), limits(10, 0, 25, 0));
        deadlines.is_at(RUNNING, at(0));
        for second in [1, 9, 18] {
            deadlines.spoke(at(second));
            deadlines.is_at(COPYING, at(second));
        }
        assert_eq!(next(&deadlines, &limits), Some((25, "query")));
        let only_silence = ClientTimeouts { query: None, ..limits };
        assert_eq!(next(&deadlines, &only_silence), Some((28, "idle_in_transaction")));
    }

    #[test]
    fn whoever_waits_or_listens_is_not_idle() {
        let (mut deadlines, limits) = (Deadlines::default(), limits(0, 0, 0, 10));
        deadlines.is_at(Activity::Idle, at(0));
        deadlines.spoke(at(4));
        assert_eq!(next(&deadlines, &limits), Some((14, "client_idle")));
        for activity in [Activity::Waiting, Activity::Listening, RUNNING] {
            deadlines.is_at(activity, at(5));
            assert_eq!(next(&deadlines, &limits), None, "{activity:?}");
        }
        deadlines.is_at(Activity::Idle, at(100));
        assert_eq!(next(&deadlines, &limits), Some((110, "client_idle")));
    }

    #[test]
    fn of_limits_that_run_out_together_the_transaction_counts() {
        let (mut deadlines, limits) = (Deadlines::default(), limits(10, 10, 10, 10));
        deadlines.is_at(COPYING, at(0));
        assert_eq!(next(&deadlines, &limits), Some((10, "transaction")));
    }
}
