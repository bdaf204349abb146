//! The census: what the live server allows, who else is connected, which backends have gone.
//!
//! Every few seconds it asks over the control plane's own connection ([`crate::link`]); the budget
//! follows the answer. Connections that are not ours are told by the pids of those that are.
//!
//! It over-counts in doubt: a row of which nothing but the pid may be seen is a connection.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tidegate_budget::budget::Census;
use tidegate_budget::limits::{Server, ServerLimits};
use tidegate_observe::ledger::{Backend, Ledger, Origin};
use tidegate_pool_core::retry::{DialFailure, FailureKind};
use tidegate_proxy::shared::{Kind, Shared};
use tidegate_wire::tick::Tick;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::link::{Link, LinkError};
use crate::open;

/// How often a count is repeated at once when servers were being opened while it was taken, and
/// so may have been counted as somebody else's.
const RECOUNTS_MAX: u32 = 3;

/// The pause before a recount: a login takes milliseconds.
const RECOUNT_PAUSE: Duration = Duration::from_millis(50);

/// The answer of a census may take this long; a server that takes longer is counted as lost.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What the network still holds of a lost connection may come to its backend for so long; and one that
/// PostgreSQL ends by itself needs no help.
const LOST_GRACE: Duration = Duration::from_secs(5);

/// Everything in one round trip. Rows of processes that hold no client's place (`datid` is null)
/// are left out; where `backend_type` may not be seen, the row counts.
const CENSUS_SQL: &str = "\
SELECT current_setting('max_connections'), current_setting('superuser_reserved_connections'), \
coalesce(current_setting('reserved_connections', true), '0'), pg_backend_pid(), \
current_setting('server_version_num'), pg_has_role('pg_read_all_stats', 'USAGE');\
SELECT pid, datname, usename, application_name, \
CASE WHEN client_port = -1 THEN 'local' ELSE host(client_addr) END, state, \
extract(epoch FROM clock_timestamp() - state_change), \
extract(epoch FROM clock_timestamp() - xact_start), \
extract(epoch FROM clock_timestamp() - backend_start), \
CASE WHEN wait_event_type = 'Lock' THEN array_to_string(pg_blocking_pids(pid), ' ') END \
FROM pg_catalog.pg_stat_activity WHERE datid IS NOT NULL \
AND coalesce(backend_type, 'client backend') = 'client backend';\
SELECT datname, datconnlimit FROM pg_catalog.pg_database WHERE datconnlimit >= 0;\
SELECT rolname, rolconnlimit FROM pg_catalog.pg_roles WHERE rolconnlimit >= 0";

/// Why a census failed.
#[derive(Debug, thiserror::Error)]
enum CensusError {
    #[error("{}", open::words(.0))]
    Postgres(#[from] tokio_postgres::Error),
    #[error("no answer within {ANSWER_MAX:?}")]
    TimedOut,
    #[error("the answer is not that of a PostgreSQL server")]
    Unintelligible,
}

/// What the server answered.
#[derive(Debug, Default, PartialEq)]
struct Answer {
    limits: Option<ServerLimits>,
    own_pid: u32,
    version: u32,
    /// All may be seen of all.
    privileged: bool,
    backends: Vec<Backend>,
    database_limits: Vec<(String, u32)>,
    user_limits: Vec<(String, u32)>,
}

/// Runs until the upstream turns out to be a pooler, or for ever.
pub async fn run(shared: Arc<Shared>, mut link: Link) {
    let Some(period) = shared.config().upstream.census else { return };
    let mut has_failed_before = false;
    while shared.kind() != Kind::Pooler {
        match link.settled().await {
            Ok(client) => {
                let result = keep_counting(&shared, &client, period).await;
                shared.set_census_works(false);
                // From a pooler the connection is taken away on purpose.
                if let Err(error) = result
                    && shared.kind() != Kind::Pooler
                {
                    tracing::warn!("the census lost its connection: {error}");
                    link.give_up(&client);
                }
            }
            Err(error) => {
                // What is known from before the take-over holds for now.
                let is_shared = shared.has_elder() || shared.is_in_doubt();
                let is_expected = is_shared && matches!(error, LinkError::Denied(_));
                if !has_failed_before && !is_expected {
                    tracing::warn!("the census can't connect: {error}");
                }
                has_failed_before |= !is_expected;
                go_without(&shared, &error);
            }
        }
        link.changed().await;
    }
    // What a pooler says of limits and pids is about something else.
    let now = shared.clock.now();
    shared.with_pools(|pools| {
        pools.budget_mut().census(Census::unknown());
        pools.budget_changed(now);
    });
}

/// The server's limits stay unknown for now: the plan's holds, and pools find out for themselves
/// what is the matter.
fn go_without(shared: &Shared, error: &LinkError) {
    shared.backends_unseen();
    let now = shared.clock.now();
    shared.with_pools(|pools| {
        if pools.budget_mut().server_limits().is_none() {
            pools.budget_mut().census(Census::unknown());
        }
        if matches!(error, LinkError::Connect(_)) {
            let cause = error.to_string().into();
            let kind = FailureKind::Transient;
            pools.upstream_failed(DialFailure { kind, sqlstate: None, cause }, now);
        }
        pools.budget_changed(now);
    });
}

async fn keep_counting(
    shared: &Shared,
    client: &Client,
    period: Duration,
) -> Result<(), CensusError> {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut is_watchful = false;
    // That a connection of long ago still answers says nothing of whether another can be made.
    let mut is_new = true;
    while shared.kind() != Kind::Pooler {
        ticks.tick().await;
        count(shared, client, std::mem::take(&mut is_new)).await?;
        shared.set_census_works(true);
        // A pooler might give it to somebody else afterwards.
        if !is_watchful && shared.kind() == Kind::Direct {
            is_watchful = true;
            ask_to_watch(shared, client).await?;
        }
    }
    Ok(())
}

/// Asks PostgreSQL to look whether the census's own connection is lost. A server that does not take that
/// is counted all the same.
async fn ask_to_watch(shared: &Shared, client: &Client) -> Result<(), CensusError> {
    let Some(sql) = shared.watchfulness_sql() else { return Ok(()) };
    let asked = tokio::time::timeout(ANSWER_MAX, client.batch_execute(&sql)).await;
    match asked.map_err(|_| CensusError::TimedOut)? {
        Err(error) if error.as_db_error().is_some() => {
            shared.watchfulness_is_refused(open::words(&error));
            Ok(())
        }
        result => Ok(result?),
    }
}

/// Counts, and puts the result in force.
async fn count(shared: &Shared, client: &Client, is_new: bool) -> Result<(), CensusError> {
    for recount in 0.. {
        let (before, dialing_before) = ours(shared);
        let question = client.simple_query(CENSUS_SQL);
        let messages = tokio::time::timeout(ANSWER_MAX, question)
            .await
            .map_err(|_| CensusError::TimedOut)??;
        let answer = Answer::read(&messages).ok_or(CensusError::Unintelligible)?;
        let (after, dialing_after) = ours(shared);
        let mut ours: BTreeSet<u32> = before.into_iter().chain(after).collect();
        ours.insert(answer.own_pid);
        let census = answer.census(&ours, &shared.elder_pids());
        let in_doubt = census.foreign > 0 && dialing_before + dialing_after > 0;
        if in_doubt && recount < RECOUNTS_MAX {
            tokio::time::sleep(RECOUNT_PAUSE).await;
            continue;
        }
        let now = shared.clock.now();
        shared.with_pools(|pools| {
            pools.budget_mut().census(census);
            if is_new {
                pools.upstream_answered(now);
            } else {
                pools.budget_changed(now);
            }
        });
        let left: Vec<u32> = answer.backends.iter().map(|backend| backend.pid).collect();
        shared.set_version(answer.version);
        shared.set_ledger(answer.ledger(&ours, now));
        shared.backends_left(&left);
        end_lost(shared, client).await;
        return Ok(());
    }
    unreachable!("the last recount returns")
}

/// What has lost its connection to us, and will not notice for hours where it has nothing to say: its
/// slot, and what it has locked, are needed. One that is at work is left to it. A pid may be another's
/// by now; that one is younger than the loss.
async fn end_lost(shared: &Shared, client: &Client) {
    let lost = shared.backends_lost(LOST_GRACE);
    if lost.is_empty() {
        return;
    }
    let rows = lost.iter().map(|(pid, since)| format!("({pid}, {})", since.as_secs_f64()));
    let sql = format!(
        "SELECT a.pid, pg_catalog.pg_terminate_backend(a.pid) \
         FROM pg_catalog.pg_stat_activity a JOIN (VALUES {}) lost (pid, seconds) USING (pid) \
         WHERE a.state IN ('idle', 'idle in transaction', 'idle in transaction (aborted)') \
         AND a.backend_start < clock_timestamp() - pg_catalog.make_interval(secs => lost.seconds) \
         AND pg_catalog.pg_has_role(a.usesysid, 'USAGE')",
        rows.collect::<Vec<_>>().join(", ")
    );
    // Where it can't be done PostgreSQL finds out by itself some time, and the slots are held until then.
    let ended = tokio::time::timeout(ANSWER_MAX, client.simple_query(&sql)).await;
    match ended {
        Ok(Ok(messages)) => {
            for message in &messages {
                if let SimpleQueryMessage::Row(row) = message {
                    let pid = row.get(0).unwrap_or_default();
                    tracing::info!(pid, "ended a backend that had lost its connection to the gate");
                }
            }
        }
        Ok(Err(error)) => {
            tracing::warn!(
                "backends that have lost their connection are left: {}",
                open::words(&error)
            );
        }
        Err(_) => {} // The next census will not be answered either.
    }
}

/// The pids of our backends, and how many servers are being opened, whose pids are not known yet.
fn ours(shared: &Shared) -> (Vec<u32>, u32) {
    shared.with_pools_quietly(|pools| {
        let dialing = pools.dialing();
        (pools.pids(), dialing)
    })
}

impl Answer {
    fn read(messages: &[SimpleQueryMessage]) -> Option<Self> {
        let mut answer = Self::default();
        let mut statement = 0;
        for message in messages {
            let row = match message {
                SimpleQueryMessage::CommandComplete(_) => {
                    statement += 1;
                    continue;
                }
                SimpleQueryMessage::Row(row) => row,
                _ => continue,
            };
            let text = |column| row.get(column).unwrap_or_default().to_owned();
            let number = |column| row.get(column)?.parse::<u32>().ok();
            match statement {
                0 => {
                    answer.limits = Some(ServerLimits {
                        max_connections: number(0)?,
                        superuser_reserved: number(1)?,
                        reserved: number(2)?,
                    });
                    answer.own_pid = number(3)?;
                    answer.version = number(4)?;
                    answer.privileged = row.get(5) == Some("t");
                }
                1 => {
                    let seconds = |column| row.get(column)?.parse::<f64>().ok();
                    let pids = row.get(9).unwrap_or_default().split(' ');
                    answer.backends.push(Backend {
                        pid: number(0)?,
                        origin: Origin::of(&text(2), &text(3)),
                        database: text(1),
                        user: text(2),
                        application: text(3),
                        address: row.get(4).map(str::to_owned),
                        state: row.get(5).map(str::to_owned),
                        state_seconds: seconds(6),
                        transaction_seconds: seconds(7),
                        age_seconds: seconds(8),
                        blocked_by: pids.filter_map(|pid| pid.parse().ok()).collect(),
                        blocks: 0,
                    });
                }
                2 => answer.database_limits.push((text(0), number(1)?)),
                _ => answer.user_limits.push((text(0), number(1)?)),
            }
        }
        answer.limits.is_some().then_some(answer)
    }

    /// All connections, when these pids are ours.
    fn ledger(self, ours: &BTreeSet<u32>, now: Tick) -> Ledger {
        let mut backends = self.backends;
        for backend in backends.iter_mut().filter(|backend| ours.contains(&backend.pid)) {
            backend.origin = Origin::Own;
        }
        Ledger::new(now, self.privileged, backends)
    }

    /// What it means for the budget, when these pids are ours. Those of the process that this one
    /// takes over from are counted where the budget is shared with it; within the limits of databases
    /// and roles they are others'.
    fn census(&self, ours: &BTreeSet<u32>, elders: &[u32]) -> Census {
        let foreign: Vec<&Backend> =
            self.backends.iter().filter(|backend| !ours.contains(&backend.pid)).collect();
        let count = |matches: &dyn Fn(&Backend) -> bool| {
            let count = foreign.iter().filter(|backend| matches(backend)).count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        let databases = self.database_limits.iter().map(|(name, limit)| {
            let taken = count(&|backend| backend.database == *name);
            (Arc::from(name.as_str()), limit.saturating_sub(taken))
        });
        let users = self.user_limits.iter().map(|(name, limit)| {
            let taken = count(&|backend| backend.user == *name);
            (Arc::from(name.as_str()), limit.saturating_sub(taken))
        });
        Census {
            server: self.limits.map_or(Server::Unknown, Server::Known),
            foreign: count(&|backend| !elders.contains(&backend.pid)),
            databases: databases.collect(),
            users: users.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pids_that_are_not_ours_are_foreign_and_limits_shrink_by_them() {
        let backend = |pid, database: &str, user: &str| Backend {
            pid,
            database: database.into(),
            user: user.into(),
            ..Backend::default()
        };
        let answer = Answer {
            limits: Some(ServerLimits { max_connections: 18, superuser_reserved: 3, reserved: 0 }),
            own_pid: 1,
            version: 150_000,
            privileged: true,
            backends: vec![
                backend(1, "app", "app"),
                backend(2, "app", "app"),
                backend(3, "app", "bob"),
                backend(4, "other", "app"),
            ],
            database_limits: vec![("app".into(), 10)],
            user_limits: vec![("app".into(), 1), ("bob".into(), 0)],
        };
        let census = answer.census(&BTreeSet::from([1, 2]), &[]);
        assert_eq!(census.foreign, 2);
        assert_eq!(census.databases.get("app"), Some(&9));
        assert_eq!(census.users.get("app"), Some(&0));
        assert_eq!(census.users.get("bob"), Some(&0));
        let beside = answer.census(&BTreeSet::from([1, 2]), &[3]);
        assert_eq!(beside.foreign, 1, "the other process of the gate has one of them");
        assert_eq!(beside.databases, census.databases);
    }
}
