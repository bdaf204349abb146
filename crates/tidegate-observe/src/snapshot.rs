//! A snapshot: everything known of the gate at one moment, as one value.
//!
//! What is shown anywhere (metrics, JSON, `tidegate status`) is rendered from it, so no two of
//! them can disagree. Its JSON form is a promise: `schema` changes when a field changes its
//! meaning or goes, new fields may come at any time. Units are in the names of the fields; a
//! number without one is a count. Maps have an entry for each word that exists, zeros included.
//!
//! Cost: a copy of the numbers of each pool; clients are not walked.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use tidegate_budget::limits::Server;
use tidegate_pool_core::histogram;
use tidegate_pool_core::pool::PoolView;
use tidegate_pool_core::pools::View;
use tidegate_pool_core::retry::FailureKind;
use tidegate_pool_core::server::{CloseReason, PoolKey, Port, State};
use tidegate_pool_core::tally::{Outcome, PortTally};
use tidegate_session::pin::PinReason;

use crate::counter::Counter;
use crate::front::{CancelOutcome, Front, Goodbye, RejectReason, Resend, Timeout};
use crate::ledger::{Ledger, Summary};
use crate::traffic::Traffic;

/// The name of this form of the JSON.
pub const SCHEMA: &str = "tidegate.snapshot.v1";

/// Counts by word, as the enums' `as_str` has it.
pub type Counts = BTreeMap<String, u64>;

/// What a snapshot is made of.
#[derive(Debug, Clone)]
pub struct Parts<'a> {
    /// The version of the gate.
    pub version: &'a str,
    /// What the kernel says of the process.
    pub process: Process,
    /// The plan's name.
    pub plan: &'a str,
    /// The upstream's addresses.
    pub upstream: &'a str,
    /// What is known of the upstream's kind: `unknown`, `direct`, or `pooler`.
    pub kind: &'a str,
    /// Whether the last probe of the upstream was answered, when there was one.
    pub upstream_up: Option<bool>,
    /// Whether the gate shuts down.
    pub is_draining: bool,
    /// Clients that are logged in or have a place reserved to.
    pub clients: u32,
    /// The most clients there can be.
    pub clients_max: u32,
    /// What clients make the gate keep.
    pub memory: Memory,
    /// All connections of the upstream, as of the last census.
    pub ledger: Option<&'a Ledger>,
    /// The look at budget and pools.
    pub view: &'a View,
    /// What happens before a client has a pool.
    pub front: &'a Front,
    /// What passes through the pools.
    pub traffic: &'a [(PoolKey, Port, Arc<Traffic>)],
}

/// Everything known at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// [`SCHEMA`].
    pub schema: String,
    /// The version of the gate.
    pub version: String,
    /// Seconds since the gate started.
    pub uptime_seconds: f64,
    /// Whether it shuts down.
    pub draining: bool,
    /// What an operator has paused.
    pub paused: Paused,
    /// What the kernel says of the process.
    pub process: Process,
    /// What was bought.
    pub plan: Plan,
    /// The PostgreSQL instance.
    pub upstream: Upstream,
    /// How many connections may be held, and how many are.
    pub budget: Budget,
    /// Clients that are logged in or have a place reserved to, both ports together.
    pub clients: u32,
    /// The most clients there can be, both ports together.
    pub clients_max: u32,
    /// What clients make the gate keep.
    pub memory: Memory,
    /// All connections of the upstream, in a few numbers; absent while no census has counted them.
    pub backends: Option<Summary>,
    /// The two ports, whichever pool their clients go to.
    pub listeners: Vec<Listener>,
    /// Cancel requests, by what became of them.
    pub cancel_requests: Counts,
    /// All pools, by database and user.
    pub pools: Vec<Pool>,
}

/// The memory that clients take, beside what each connection takes anyway.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Bytes that wait for clients or from them.
    pub buffers_bytes: u64,
    /// Statements that they have prepared; equal ones once.
    pub statements_bytes: u64,
    /// The most that both may take.
    pub bytes_max: u64,
    /// Whether so little is left that new clients are refused.
    pub short: bool,
}

/// What an operator has paused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Whether it is everything.
    pub all: bool,
    /// Databases that are paused by their names, whether they have a pool or not.
    pub databases: Vec<String>,
}

/// What the kernel says of the process; a field is absent where it says nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// When it started, in seconds since 1970.
    pub start_time_seconds: Option<f64>,
    /// Processor time used.
    pub cpu_seconds: Option<f64>,
    /// Memory that is in RAM.
    pub resident_memory_bytes: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// The most there may be.
    pub max_fds: Option<u64>,
}

/// What was bought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// Its limit for all connections of the database; absent when it sets none.
    pub connections_max: Option<u32>,
}

/// The PostgreSQL instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// Its addresses.
    pub name: String,
    /// `unknown`, `direct`, or `pooler`.
    pub kind: String,
    /// Whether the last probe was answered, when there was one.
    pub up: Option<bool>,
    /// Attempts to connect that failed in a row.
    pub failures: u32,
    /// The last of them, when none succeeded after it.
    pub last_failure: Option<Failure>,
    /// What the live server says of its limits, when it was asked and does.
    pub limits: Option<ServerLimits>,
}

/// An attempt to connect that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// `full`, `permanent`, or `transient`.
    pub kind: String,
    /// What PostgreSQL said, when it got to say something.
    pub sqlstate: Option<String>,
    /// The cause in words.
    pub cause: String,
}

/// What the live server says of its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerLimits {
    /// `max_connections`.
    pub max_connections: u32,
    /// `superuser_reserved_connections`.
    pub superuser_reserved: u32,
    /// `reserved_connections`.
    pub reserved: u32,
    /// What is left for ordinary roles, all applications together.
    pub ordinary: u32,
}

/// How many connections may be held, and how many are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Connections that may be held.
    pub usable: u32,
    /// The limit that gave this number: `plan`, `connections`, `server`, `unknown`, or
    /// `unasked`.
    pub binding: String,
    /// Connections that are held, from dialing until the backend has gone.
    pub used: u32,
    /// Connections of others; absent while no census has counted them.
    pub foreign: Option<u32>,
    /// `upstream.connections`, when it is set.
    pub connections: Option<u32>,
    /// Of the server's limit, left free for people and tools.
    pub headroom: u32,
}

/// One of the two ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// `session` or `transaction`.
    pub listener: String,
    /// Connections accepted.
    pub accepts: u64,
    /// Logins that succeeded.
    pub logins: u64,
    /// Connections refused, by reason.
    pub rejected: Counts,
}

/// One pool: the servers of a database and user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// The database.
    pub database: String,
    /// The role that servers log in as.
    pub user: String,
    /// Whether an operator has paused it.
    pub paused: bool,
    /// Servers that are kept.
    pub pool_size: u32,
    /// Servers beyond those under load.
    pub max_overflow: u32,
    /// The longest wait for a server.
    pub pool_timeout_seconds: f64,
    /// Servers, by state. Those with a client count as `active` on the client's port instead.
    pub servers: Servers,
    /// Servers that logged in.
    pub opened: u64,
    /// Servers that ended, by reason.
    pub closed: Counts,
    /// Attempts to connect that failed, by kind.
    pub connect_errors: Counts,
    /// How long it took to open servers.
    pub connect_time: Histogram,
    /// Times that the budget refused a server.
    pub denied: u64,
    /// Clients that keep their server past the transaction.
    pub pinned: u32,
    /// The most there may be.
    pub pins_max: u32,
    /// Clients that would have kept theirs, where too many did.
    pub pins_refused: u64,
    /// Clients for which a server listens that is none of theirs.
    pub listening: u32,
    /// The queues: one for each port.
    pub ports: Vec<PoolPort>,
}

/// Servers that have no client, by state, in the order of life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Servers {
    /// Being opened.
    pub dialing: u32,
    /// Free.
    pub idle: u32,
    /// Between two clients.
    pub resetting: u32,
    /// Their health is being checked.
    pub checking: u32,
    /// Being closed; the slot is held until the backend has gone.
    pub closing: u32,
}

/// What one port has to do with a pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolPort {
    /// `session` or `transaction`.
    pub listener: String,
    /// Clients that are logged in.
    pub clients: u32,
    /// Clients that have a server, which is as many servers as have a client.
    pub active: u32,
    /// Clients that wait for a server.
    pub waiting: u32,
    /// How long the first of them has waited.
    pub oldest_wait_seconds: f64,
    /// The number of waiting clients integrated over time; it grows while they wait.
    pub waiter_seconds: f64,
    /// Checkouts that could not be served at once.
    pub queued: u64,
    /// How long checkouts waited, by how they ended.
    pub wait_time: BTreeMap<String, Histogram>,
    /// How long servers were with clients.
    pub hold_time: Histogram,
    /// Transactions that ended.
    pub transactions: u64,
    /// Statements that ended.
    pub queries: u64,
    /// Errors that PostgreSQL sent to clients.
    pub errors: u64,
    /// Bytes read from clients.
    pub client_received_bytes: u64,
    /// Bytes written to clients.
    pub client_sent_bytes: u64,
    /// Bytes read from servers.
    pub server_received_bytes: u64,
    /// Bytes written to servers.
    pub server_sent_bytes: u64,
    /// Prepared statements that servers were sent to parse.
    pub prepared_parses: u64,
    /// Uses of prepared statements that the server had already.
    pub prepared_hits: u64,
    /// Prepared statements that were closed to make room for others.
    pub prepared_evictions: u64,
    /// Batches that were sent again, as a prepared statement of the server's was stale or gone.
    pub prepared_healed: u64,
    /// Batches that went to another server, as theirs had died, by reason.
    pub resent: Counts,
    /// Batches that did not, as too many had of late.
    pub resends_refused: u64,
    /// Transactions of which nobody knows whether they were committed.
    pub commits_in_doubt: u64,
    /// Servers kept past a transaction, by reason.
    pub pins: Counts,
    /// Clients that were logged in and have gone, by reason.
    pub closed: Counts,
    /// Times that a client took longer than it may, by setting.
    pub timeouts: Counts,
}

impl PoolPort {
    /// Clients that neither have a server nor want one.
    pub fn idle(&self) -> u32 {
        // A server may be with a client that is not logged in yet: it asks what its session needs.
        self.clients.saturating_sub(self.active).saturating_sub(self.waiting)
    }
}

/// How observations are spread.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Cumulative counts, ascending, without the infinite bound, whose count is `count`.
    pub buckets: Vec<Bucket>,
    /// All observations.
    pub count: u64,
    /// Their sum.
    pub sum_seconds: f64,
}

/// Observations at or below a bound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// The bound.
    pub le_seconds: f64,
    /// How many.
    pub count: u64,
}

impl Histogram {
    /// The sum of several with the same bounds.
    pub fn merged<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        for one in all {
            if sum.buckets.is_empty() {
                sum = one.clone();
                continue;
            }
            for (to, from) in sum.buckets.iter_mut().zip(&one.buckets) {
                to.count += from.count;
            }
            sum.count += one.count;
            sum.sum_seconds += one.sum_seconds;
        }
        sum
    }
}

impl From<&histogram::Histogram> for Histogram {
    fn from(from: &histogram::Histogram) -> Self {
        let buckets = from.buckets().map(|(le_seconds, count)| Bucket { le_seconds, count });
        Self { buckets: buckets.collect(), count: from.count(), sum_seconds: from.sum_seconds() }
    }
}

impl Snapshot {
    /// Puts the parts together.
    pub fn new(parts: Parts<'_>) -> Self {
        let Parts { view, front, traffic, .. } = parts;
        let limits = match view.budget.limits.server {
            Server::Known(limits) => Some(limits),
            Server::Unasked | Server::Unknown => None,
        };
        let mut pools: Vec<Pool> =
            view.pools.iter().map(|pool| Pool::new(pool, view, traffic)).collect();
        pools.sort_by(|a, b| (&a.database, &a.user).cmp(&(&b.database, &b.user)));
        Self {
            schema: SCHEMA.to_owned(),
            version: parts.version.to_owned(),
            uptime_seconds: view.now.since(tidegate_wire::tick::Tick::ZERO).as_secs_f64(),
            draining: parts.is_draining || view.draining,
            paused: Paused {
                all: view.is_all_paused,
                databases: view.paused_databases.iter().map(ToString::to_string).collect(),
            },
            process: parts.process,
            plan: Plan { name: parts.plan.to_owned(), connections_max: view.budget.limits.plan },
            upstream: Upstream {
                name: parts.upstream.to_owned(),
                kind: parts.kind.to_owned(),
                up: parts.upstream_up,
                failures: view.failures,
                last_failure: view.last_failure.as_ref().map(|failure| Failure {
                    kind: failure.kind.as_str().to_owned(),
                    sqlstate: failure.sqlstate.map(|state| state.to_string()),
                    cause: failure.cause.to_string(),
                }),
                limits: limits.map(|limits| ServerLimits {
                    max_connections: limits.max_connections,
                    superuser_reserved: limits.superuser_reserved,
                    reserved: limits.reserved,
                    ordinary: limits.ordinary(),
                }),
            },
            budget: Budget {
                usable: view.budget.usable.connections,
                binding: view.budget.usable.binding.as_str().to_owned(),
                used: view.budget.used,
                foreign: limits.map(|_| view.budget.foreign),
                connections: view.budget.limits.connections,
                headroom: view.budget.limits.headroom,
            },
            clients: parts.clients,
            clients_max: parts.clients_max,
            memory: parts.memory,
            backends: parts.ledger.map(|ledger| ledger.summary(view.now)),
            listeners: Port::ALL.map(|port| Listener::new(port, front)).into(),
            cancel_requests: CancelOutcome::ALL
                .map(|outcome| word(outcome.as_str(), front.cancels[outcome as usize].value()))
                .into(),
            pools,
        }
    }
}

impl Listener {
    fn new(port: Port, front: &Front) -> Self {
        let front = front.port(port);
        let rejected = RejectReason::ALL
            .map(|reason| word(reason.as_str(), front.rejected[reason as usize].value()));
        Self {
            listener: port.as_str().to_owned(),
            accepts: front.accepts.value(),
            logins: front.logins.value(),
            rejected: rejected.into(),
        }
    }
}

impl Pool {
    fn new(pool: &PoolView, view: &View, traffic: &[(PoolKey, Port, Arc<Traffic>)]) -> Self {
        let PoolView { key, settings, tally, .. } = pool;
        let ports = Port::ALL.map(|port| {
            let traffic = traffic.iter().find(|(of, at, _)| *of == *key && *at == port);
            PoolPort::new(pool, port, view, traffic.map(|(_, _, traffic)| &**traffic))
        });
        Self {
            database: key.database.to_string(),
            user: key.user.to_string(),
            paused: pool.is_paused,
            pool_size: settings.pool_size,
            max_overflow: settings.max_overflow,
            pool_timeout_seconds: settings.pool_timeout.as_secs_f64(),
            servers: Servers {
                dialing: tally.in_state(State::Dialing),
                idle: tally.in_state(State::Idle),
                resetting: tally.in_state(State::Resetting),
                checking: tally.in_state(State::Checking),
                closing: tally.in_state(State::Closing),
            },
            opened: tally.opened,
            closed: CloseReason::ALL
                .map(|reason| word(reason.as_str(), tally.closed[reason.index()]))
                .into(),
            connect_errors: FailureKind::ALL
                .map(|kind| word(kind.as_str(), tally.dial_failures[kind as usize]))
                .into(),
            connect_time: (&tally.connects).into(),
            denied: tally.denied,
            pinned: tally.pinned,
            pins_max: settings.pins_max(view.budget.usable.connections),
            pins_refused: tally.pins_refused,
            listening: tally.listening,
            ports: ports.into(),
        }
    }

    /// Servers of every state.
    pub fn servers_total(&self) -> u32 {
        let Servers { dialing, idle, resetting, checking, closing } = self.servers;
        let active: u32 = self.ports.iter().map(|port| port.active).sum();
        active + dialing + idle + resetting + checking + closing
    }
}

impl PoolPort {
    fn new(pool: &PoolView, port: Port, view: &View, traffic: Option<&Traffic>) -> Self {
        let tally: &PortTally = &pool.tally.ports[port.index()];
        // A pool that nobody has logged in to yet has passed nothing.
        let count = |counter: fn(&Traffic) -> &Counter| traffic.map_or(0, |of| counter(of).value());
        let pins = PinReason::ALL.map(|reason| {
            let count = traffic.map_or(0, |of| of.pins[reason.index()].value());
            word(reason.as_str(), count)
        });
        let closed = Goodbye::ALL.map(|goodbye| {
            let count = traffic.map_or(0, |of| of.closed[goodbye as usize].value());
            word(goodbye.as_str(), count)
        });
        let timeouts = Timeout::ALL.map(|timeout| {
            let count = traffic.map_or(0, |of| of.timeouts[timeout as usize].value());
            word(timeout.as_str(), count)
        });
        let resent = Resend::ALL.map(|why| {
            let count = traffic.map_or(0, |of| of.resent[why as usize].value());
            word(why.as_str(), count)
        });
        let wait_time = Outcome::ALL.map(|outcome| {
            (outcome.as_str().to_owned(), Histogram::from(&tally.waits[outcome as usize]))
        });
        Self {
            listener: port.as_str().to_owned(),
            clients: tally.clients,
            active: pool.tally.in_state(State::Leased(port)),
            waiting: tally.waiting,
            oldest_wait_seconds: pool.oldest_wait[port.index()].as_secs_f64(),
            waiter_seconds: tally.waiter_seconds(view.now),
            queued: tally.queued,
            wait_time: wait_time.into(),
            hold_time: (&tally.holds).into(),
            transactions: count(|of| &of.transactions),
            queries: count(|of| &of.statements),
            errors: count(|of| &of.errors),
            client_received_bytes: count(|of| &of.client_rx),
            client_sent_bytes: count(|of| &of.client_tx),
            server_received_bytes: count(|of| &of.server_rx),
            server_sent_bytes: count(|of| &of.server_tx),
            prepared_parses: count(|of| &of.prepared_parses),
            prepared_hits: count(|of| &of.prepared_hits),
            prepared_evictions: count(|of| &of.prepared_evictions),
            prepared_healed: count(|of| &of.prepared_healed),
            resent: resent.into(),
            resends_refused: count(|of| &of.resends_refused),
            commits_in_doubt: count(|of| &of.commits_in_doubt),
            pins: pins.into(),
            closed: closed.into(),
            timeouts: timeouts.into(),
        }
    }
}

fn word(word: &str, count: u64) -> (String, u64) {
    (word.to_owned(), count)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::ledger::{Backend, Origin};

    use std::time::Duration;

    use tidegate_budget::budget::{Budget as Ledger, Census};
    use tidegate_budget::limits::{Limits, Server, ServerLimits as Live};
    use tidegate_pool_core::order::{Checkout, Order};
    use tidegate_pool_core::pools::Pools;
    use tidegate_pool_core::retry::{DialFailure, Retry};
    use tidegate_pool_core::server::{Flavour, Waiter};
    use tidegate_pool_core::settings::{
        AnswerProbes, PoolSettings, PrePing, ResetPolicy, RetrySettings,
    };
    use tidegate_wire::tick::Tick;

    pub(crate) fn at(millis: u64) -> Tick {
        Tick::ZERO + Duration::from_millis(millis)
    }

    pub(crate) fn key(database: &str, user: &str) -> PoolKey {
        PoolKey { database: database.into(), user: user.into() }
    }

    pub(crate) fn settings(pool_size: u32) -> PoolSettings {
        PoolSettings {
            pool_size,
            max_overflow: 1,
            pool_timeout: Duration::from_secs(30),
            pool_recycle: None,
            pool_pre_ping: PrePing::Off,
            answer_probes: AnswerProbes::Begin,
            pins_max: None,
            overflow_linger: Duration::from_secs(10),
            server_idle_timeout: None,
            reset: ResetPolicy::Auto,
        }
    }

    /// Pools behind the plan `free`, not asked for its limits yet.
    pub(crate) fn unasked() -> Pools<()> {
        let limits = Limits {
            plan: Some(15),
            connections: None,
            headroom: 2,
            control: 1,
            server: Server::Unasked,
        };
        let retry = RetrySettings {
            attempts: 3,
            multiplier: Duration::from_secs(1),
            min: Duration::from_secs(2),
            max: Duration::from_secs(10),
            jitter: false,
            budget: 0.1,
        };
        Pools::new(Ledger::new(limits), Retry::new(retry, 1))
    }

    /// As [`unasked`], and the server has said 18 connections, 3 reserved, `foreign` of others.
    pub(crate) fn asked(foreign: u32) -> Pools<()> {
        let mut pools = unasked();
        let live = Live { max_connections: 18, superuser_reserved: 3, reserved: 0 };
        let census = Census { server: Server::Known(live), foreign, ..Census::unknown() };
        pools.budget_mut().census(census);
        pools
    }

    /// Makes every dial that was ordered succeed.
    pub(crate) fn dial_all(pools: &mut Pools<()>, now: Tick) {
        while let Some(order) = pools.next_order() {
            match order {
                Order::Dial(dial) => pools.dialed(dial, (), Flavour::default(), 7, now),
                Order::HandOff(_, _, lease) => drop_lease(lease),
                other => panic!("not ordered by these tests: {other:?}"),
            }
        }
    }

    /// A client that keeps its server for as long as the test looks.
    fn drop_lease(lease: tidegate_pool_core::server::Lease<()>) {
        let _kept_by_its_client = lease;
    }

    pub(crate) fn checkout(
        pools: &mut Pools<()>,
        key: &PoolKey,
        port: Port,
        client: u64,
        now: Tick,
    ) {
        let pool = pools.join(key, port, || settings(2));
        match pools.checkout(pool, port, Waiter { worker: 0, client }, Flavour::default(), now) {
            Checkout::Ready(lease) => drop_lease(lease),
            Checkout::Wait(_) => {}
            Checkout::Refused(error) => panic!("{error}"),
        }
    }

    pub(crate) fn fail_dials(pools: &mut Pools<()>, kind: FailureKind, cause: &str, now: Tick) {
        while let Some(order) = pools.next_order() {
            if let Order::Dial(dial) = order {
                let failure = DialFailure { kind, sqlstate: None, cause: cause.into() };
                let server = dial.server;
                pools.dial_failed(dial, failure, now);
                pools.gone(server, now);
            }
        }
    }

    pub(crate) fn snapshot_with(
        pools: &mut Pools<()>,
        front: &Front,
        traffic: &[(PoolKey, Port, Arc<Traffic>)],
        now: Tick,
    ) -> Snapshot {
        let backend = |pid, origin, user: &str, application: &str, state: Option<&str>| Backend {
            pid,
            origin,
            user: user.to_owned(),
            application: application.to_owned(),
            state: state.map(str::to_owned),
            state_seconds: state.map(|_| 2.5),
            ..Backend::default()
        };
        let backends = vec![
            backend(7, Origin::Own, "app", "", Some("active")),
            backend(8, Origin::Direct, "bob", "psql", Some("idle in transaction")),
            backend(9, Origin::Platform, "authenticator", "PostgREST", None),
        ];
        let ledger = crate::ledger::Ledger::new(now, false, backends);
        Snapshot::new(Parts {
            version: "0.1.0",
            process: Process {
                start_time_seconds: Some(1_800_000_000.25),
                cpu_seconds: Some(0.5),
                resident_memory_bytes: Some(9_000_000),
                open_fds: Some(30),
                max_fds: None,
            },
            plan: "free",
            upstream: "db.example.com:5432",
            kind: "direct",
            upstream_up: None,
            is_draining: false,
            clients: 6,
            clients_max: 10_000,
            memory: Memory {
                buffers_bytes: 70_000,
                statements_bytes: 4_000,
                bytes_max: 256 << 20,
                short: false,
            },
            ledger: Some(&ledger),
            view: &pools.view(now),
            front,
            traffic,
        })
    }

    /// Five clients of one pool, of which three have a server and two wait; one of a second pool.
    pub(crate) fn busy() -> Snapshot {
        let mut pools = asked(1);
        let shop = key("shop", "app");
        for (client, port) in [(1, Port::Session), (2, Port::Transaction), (3, Port::Transaction)] {
            checkout(&mut pools, &shop, port, client, at(1000));
            dial_all(&mut pools, at(1004));
        }
        for (client, since) in [(4, 2000), (5, 2600)] {
            checkout(&mut pools, &shop, Port::Transaction, client, at(since));
        }
        pools.join(&key("shop", "reports"), Port::Session, || settings(5));
        let front = Front::default();
        front.port(Port::Transaction).accepts.add(7);
        front.port(Port::Transaction).logins.add(4);
        front.port(Port::Transaction).rejected[RejectReason::Auth as usize].add(3);
        front.cancels[CancelOutcome::Forwarded as usize].add(1);
        let traffic = Arc::new(Traffic::default());
        traffic.transactions.add(41);
        traffic.statements.add(120);
        traffic.client_rx.add(4096);
        traffic.pins[PinReason::Listen.index()].add(2);
        traffic.closed[Goodbye::Vanished as usize].add(1);
        snapshot_with(&mut pools, &front, &[(shop, Port::Transaction, traffic)], at(4500))
    }

    #[test]
    fn each_number_of_a_busy_pool_is_where_it_belongs() {
        let snapshot = busy();
        assert_eq!(snapshot.budget.used, 3);
        assert_eq!(snapshot.budget.usable, 13);
        assert_eq!(snapshot.budget.foreign, Some(1));
        assert_eq!(snapshot.pools.len(), 2);
        let pool = &snapshot.pools[0];
        assert_eq!((pool.servers_total(), pool.opened, pool.servers.idle), (3, 3, 0));
        let [session, transaction] = &pool.ports[..] else { panic!("two ports") };
        assert_eq!((session.clients, session.active, session.idle()), (1, 1, 0));
        assert_eq!((transaction.clients, transaction.active, transaction.waiting), (4, 2, 2));
        assert!((transaction.oldest_wait_seconds - 2.5).abs() < 1e-9);
        // 2.5 s of the first and 1.9 s of the second, beside 2 x 4 ms of those that were dialed for.
        assert!((transaction.waiter_seconds - 4.408).abs() < 1e-9);
        assert_eq!((transaction.transactions, transaction.queries), (41, 120));
        assert_eq!(transaction.pins["listen"], 2);
        assert_eq!(transaction.closed["vanished"], 1);
        assert_eq!(transaction.wait_time["ok"].count, 2);
        assert_eq!(session.transactions, 0);
    }

    #[test]
    fn its_json_reads_back_as_the_same_value() {
        let snapshot = busy();
        let json = serde_json::to_string(&snapshot).expect("a snapshot is JSON");
        assert!(json.starts_with(r#"{"schema":"tidegate.snapshot.v1","#), "{json}");
        let back: Snapshot = serde_json::from_str(&json).expect("and back");
        assert_eq!(back, snapshot);
    }

    #[test]
    fn foreign_connections_are_unknown_until_a_census_has_counted_them() {
        let snapshot = snapshot_with(&mut unasked(), &Front::default(), &[], at(1));
        assert_eq!(snapshot.budget.foreign, None);
        assert_eq!(snapshot.budget.binding, "unasked");
    }

    #[test]
    fn merged_histograms_add_up_bucket_by_bucket() {
        let one = Histogram {
            buckets: vec![
                Bucket { le_seconds: 1.0, count: 1 },
                Bucket { le_seconds: 2.0, count: 3 },
            ],
            count: 4,
            sum_seconds: 6.0,
        };
        let merged = Histogram::merged([&one, &one]);
        assert_eq!(merged.buckets[1], Bucket { le_seconds: 2.0, count: 6 });
        assert_eq!((merged.count, merged.sum_seconds), (8, 12.0));
    }
}
