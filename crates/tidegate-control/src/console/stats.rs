//! Statistics by database, as one port has them: totals since the gate started, and averages of a period.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tidegate_observe::snapshot::Snapshot;
use tidegate_pool_core::server::Port;
use tidegate_wire::tick::Tick;

/// PgBouncer's `stats_period`: averages are those of the last whole period.
pub(super) const PERIOD: Duration = Duration::from_secs(60);

/// What a database has had by a port. Times are in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stats {
    pub(super) assignments: u64,
    pub(super) xacts: u64,
    pub(super) queries: u64,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) xact_time: u64,
    pub(super) wait_time: u64,
    pub(super) server_parses: u64,
}

impl Stats {
    fn add(&mut self, other: &Self) {
        self.assignments += other.assignments;
        self.xacts += other.xacts;
        self.queries += other.queries;
        self.received += other.received;
        self.sent += other.sent;
        self.xact_time += other.xact_time;
        self.wait_time += other.wait_time;
        self.server_parses += other.server_parses;
    }

    /// As PgBouncer reckons (`calc_average`): counts, bytes, and waits by the second, the time of
    /// transactions by the transaction.
    fn average(&self, before: &Self, period: Duration) -> Self {
        let micros = u64::try_from(period.as_micros()).unwrap_or(u64::MAX).max(1);
        let rate = |now: u64, before: u64| {
            let per_second = u128::from(now.saturating_sub(before)) * 1_000_000;
            u64::try_from(per_second / u128::from(micros)).unwrap_or(u64::MAX)
        };
        let xacts = self.xacts.saturating_sub(before.xacts);
        let xact_time = self.xact_time.saturating_sub(before.xact_time);
        Self {
            assignments: rate(self.assignments, before.assignments),
            xacts: rate(self.xacts, before.xacts),
            queries: rate(self.queries, before.queries),
            received: rate(self.received, before.received),
            sent: rate(self.sent, before.sent),
            xact_time: xact_time.checked_div(xacts).unwrap_or_default(),
            wait_time: rate(self.wait_time, before.wait_time),
            server_parses: rate(self.server_parses, before.server_parses),
        }
    }
}

/// By database.
pub(super) type ByDatabase = BTreeMap<String, Stats>;

/// Totals of a port.
pub(super) fn totals(snapshot: &Snapshot, port: Port) -> ByDatabase {
    let mut all = ByDatabase::new();
    for pool in &snapshot.pools {
        let Some(of) = pool.ports.iter().find(|of| of.listener == port.as_str()) else { continue };
        let waits = of.wait_time.values().map(|waits| waits.sum_seconds).sum();
        let assigned = of.wait_time.get("ok").map_or(0, |waits| waits.count);
        all.entry(pool.database.clone()).or_default().add(&Stats {
            assignments: assigned,
            xacts: of.transactions,
            queries: of.queries,
            received: of.client_received_bytes,
            sent: of.client_sent_bytes,
            xact_time: micros(of.hold_time.sum_seconds),
            wait_time: micros(waits),
            server_parses: of.prepared_parses,
        });
    }
    all
}

fn micros(seconds: f64) -> u64 {
    Duration::try_from_secs_f64(seconds)
        .map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

/// What was last seen, and before that.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Two at most; of both ports.
    seen: VecDeque<(Tick, [ByDatabase; 2])>,
}

impl History {
    /// A period is over.
    pub(super) fn look(&mut self, snapshot: &Snapshot, now: Tick) {
        self.seen.push_back((now, Port::ALL.map(|port| totals(snapshot, port))));
        while self.seen.len() > 2 {
            self.seen.pop_front();
        }
    }

    /// Averages of the last whole period; zero before there was one.
    pub(super) fn averages(&self, port: Port) -> ByDatabase {
        let (Some((began, before)), Some((ended, after))) = (self.seen.front(), self.seen.get(1))
        else {
            return ByDatabase::new();
        };
        let (before, after) = (&before[port.index()], &after[port.index()]);
        let averages = after.iter().map(|(database, after)| {
            let before = before.get(database).copied().unwrap_or_default();
            (database.clone(), after.average(&before, ended.since(*began)))
        });
        averages.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_are_reckoned_as_pgbouncer_reckons_them() {
        let before = Stats { xacts: 10, xact_time: 1_000, received: 500, ..Stats::default() };
        let after = Stats {
            xacts: 130,
            queries: 240,
            xact_time: 601_000,
            wait_time: 30_000_000,
            received: 6_500,
            ..before
        };
        let average = after.average(&before, PERIOD);
        assert_eq!((average.xacts, average.queries, average.received), (2, 4, 100));
        assert_eq!((average.xact_time, average.wait_time), (5_000, 500_000));
        let nothing = before.average(&before, PERIOD);
        assert_eq!((nothing.xacts, nothing.xact_time), (0, 0), "nothing is divided by nothing");
    }
}
