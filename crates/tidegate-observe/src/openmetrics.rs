//! The page for scrapers: OpenMetrics 1.0 text.
//!
//! Names and labels are a contract, listed in the reference of metrics. Base units only, the unit
//! last in the name. Every combination of labels of an existing pool is there from the start,
//! zeros included: a first error must be visible as an increase.
//!
//! A pool's servers belong to both ports. What has to do with a client carries the client's port
//! as `listener`; what has not carries `listener="shared"`, so that each server is counted once
//! and a sum over any label is right.
//!
//! The `db_client_connection_*` families are OpenTelemetry's conventions for a client of a
//! database, which Tidegate is towards the upstream; a pool of theirs is a pool of ours, both
//! ports together, named `database/user@upstream`.

use std::fmt::Write;

use crate::snapshot::{Histogram, Pool, PoolPort, Snapshot};

/// The content type of the page.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Writes the whole page.
pub fn render(snapshot: &Snapshot) -> String {
    let mut page = Page::default();
    process(&mut page, snapshot);
    upstream(&mut page, snapshot);
    budget(&mut page, snapshot);
    backends(&mut page, snapshot);
    servers(&mut page, snapshot);
    clients(&mut page, snapshot);
    checkouts(&mut page, snapshot);
    work(&mut page, snapshot);
    conventions(&mut page, snapshot);
    page.end()
}

/// `listener` of what belongs to both ports of a pool.
const SHARED: &str = "shared";

fn process(page: &mut Page, snapshot: &Snapshot) {
    let process = &snapshot.process;
    page.family("tidegate_build", Info, "What was built.", |of| {
        of.sample(&[("version", &snapshot.version)], 1_u64);
    });
    page.family("tidegate_start_time_seconds", Gauge, "When the process started.", |of| {
        of.maybe(&[], process.start_time_seconds);
    });
    page.family("process_cpu_seconds", Counter, "Processor time used.", |of| {
        of.maybe(&[], process.cpu_seconds);
    });
    page.family("process_resident_memory_bytes", Gauge, "Memory that is in RAM.", |of| {
        of.maybe(&[], process.resident_memory_bytes);
    });
    page.family("process_open_fds", Gauge, "Open file descriptors.", |of| {
        of.maybe(&[], process.open_fds);
    });
    page.family("process_max_fds", Gauge, "The most file descriptors there may be.", |of| {
        of.maybe(&[], process.max_fds);
    });
    page.family("tidegate_listener_accepts", Counter, "Connections accepted.", |of| {
        for port in &snapshot.listeners {
            of.sample(&[("listener", &port.listener)], port.accepts);
        }
    });
}

fn upstream(page: &mut Page, snapshot: &Snapshot) {
    let upstream = &snapshot.upstream;
    let name = ("upstream", upstream.name.as_str());
    page.family("tidegate_upstream_up", Gauge, "Whether the last probe was answered.", |of| {
        of.maybe(&[name], upstream.up.map(u64::from));
    });
    if let Some(limits) = upstream.limits {
        let help = "The live server's max_connections.";
        page.family("tidegate_upstream_max_connections", Gauge, help, |of| {
            of.sample(&[name], limits.max_connections);
        });
        let help = "Connections of the server's limit that are kept from the pools.";
        page.family("tidegate_upstream_reserved_connections", Gauge, help, |of| {
            of.sample(&[name, ("kind", "superuser")], limits.superuser_reserved);
            of.sample(&[name, ("kind", "reserved")], limits.reserved);
            of.sample(&[name, ("kind", "headroom")], snapshot.budget.headroom);
        });
        let help = "What max_connections leaves for ordinary roles, all applications together.";
        page.family("tidegate_upstream_usable_connections", Gauge, help, |of| {
            of.sample(&[name], limits.ordinary);
        });
    }
}

fn budget(page: &mut Page, snapshot: &Snapshot) {
    let name = ("upstream", snapshot.upstream.name.as_str());
    let instance = ("scope", "instance");
    let budget = &snapshot.budget;
    page.family("tidegate_plan_connection_limit", Gauge, "Connections the plan allows.", |of| {
        let plan = ("plan", snapshot.plan.name.as_str());
        of.maybe(&[name, plan], snapshot.plan.connections_max);
    });
    let help = "Connections that this gate may hold now.";
    page.family("tidegate_budget_connections", Gauge, help, |of| {
        of.sample(&[name, instance], budget.usable);
    });
    let help = "Connections that this gate holds, from dialing until the backend has gone.";
    page.family("tidegate_budget_used_connections", Gauge, help, |of| {
        of.sample(&[name, instance], budget.used);
    });
    let help = "Connections of others as of the last census, by which the budget is smaller.";
    page.family("tidegate_budget_foreign_connections", Gauge, help, |of| {
        of.maybe(&[name], budget.foreign);
    });
    let help = "Connections held per connection allowed.";
    page.family("tidegate_budget_utilization_ratio", Gauge, help, |of| {
        let ratio = match (budget.used, budget.usable) {
            (0, 0) => 0.0,
            (used, usable) => f64::from(used) / f64::from(usable),
        };
        of.sample(&[name, instance], ratio);
    });
    let help = "Times that a pool wanted a server and the budget refused it.";
    page.family("tidegate_budget_denied", Counter, help, |of| {
        for pool in &snapshot.pools {
            of.sample(&[name, database(pool), user(pool)], pool.denied);
        }
    });
}

/// All connections of the upstream, ours or not. Nothing is said before a census was taken.
fn backends(page: &mut Page, snapshot: &Snapshot) {
    let name = ("upstream", snapshot.upstream.name.as_str());
    let all = snapshot.backends.as_ref();
    let help = "Client connections of the upstream by whose they are, and state; together all.";
    page.family("tidegate_upstream_backends", Gauge, help, |of| {
        for count in all.iter().flat_map(|all| &all.counts) {
            let labels = [name, ("origin", count.origin.as_str()), ("state", &count.state)];
            of.sample(&labels, count.count);
        }
    });
    let help = "Client connections of the upstream by role, those with most.";
    page.family("tidegate_upstream_backends_by_role", Gauge, help, |of| {
        for role in all.iter().flat_map(|all| &all.roles) {
            of.sample(&[name, ("role", &role.role)], role.count);
        }
    });
    let help = "How long the oldest transaction lasts.";
    page.family("tidegate_upstream_oldest_transaction_seconds", Gauge, help, |of| {
        for (origin, seconds) in all.iter().flat_map(|all| &all.oldest_transaction_seconds) {
            of.sample(&[name, ("origin", origin)], *seconds);
        }
    });
    let help = "How long nothing has happened in the transaction that has waited longest.";
    page.family("tidegate_upstream_oldest_idle_in_transaction_seconds", Gauge, help, |of| {
        let each = all.iter().flat_map(|all| &all.oldest_idle_in_transaction_seconds);
        for (origin, seconds) in each {
            of.sample(&[name, ("origin", origin)], *seconds);
        }
    });
    let help = "Client connections of the upstream that wait for a lock.";
    page.family("tidegate_upstream_blocked_backends", Gauge, help, |of| {
        of.maybe(&[name], all.map(|all| all.blocked));
    });
    let help = "How long ago the last census was taken.";
    page.family("tidegate_upstream_census_age_seconds", Gauge, help, |of| {
        of.maybe(&[name], all.map(|all| all.age_seconds));
    });
    let help = "Whether the census may see the state of others' connections.";
    page.family("tidegate_upstream_census_privileged", Gauge, help, |of| {
        of.maybe(&[name], all.map(|all| u64::from(all.privileged)));
    });
}

fn servers(page: &mut Page, snapshot: &Snapshot) {
    let name = ("upstream", snapshot.upstream.name.as_str());
    let pools = &snapshot.pools;
    page.family("tidegate_pool_size", Gauge, "Servers that the pool keeps.", |of| {
        for pool in pools {
            of.sample(&shared(pool), pool.pool_size);
        }
    });
    let help = "Servers that may exist beyond pool_size under load.";
    page.family("tidegate_pool_max_overflow", Gauge, help, |of| {
        for pool in pools {
            of.sample(&shared(pool), pool.max_overflow);
        }
    });
    let help = "Servers by state; the active ones by the port of their client.";
    page.family("tidegate_server_connections", Gauge, help, |of| {
        for pool in pools {
            for port in &pool.ports {
                of.sample(&with(labels(pool, port), ("state", "active")), port.active);
            }
            let states = &pool.servers;
            for (state, count) in [
                ("idle", states.idle),
                ("login", states.dialing),
                ("tested", states.checking),
                ("used", states.resetting),
                ("closing", states.closing),
            ] {
                of.sample(&with(shared(pool), ("state", state)), count);
            }
        }
    });
    let help = "Servers that logged in.";
    page.family("tidegate_server_connections_opened", Counter, help, |of| {
        for pool in pools {
            of.sample(&shared(pool), pool.opened);
        }
    });
    let help = "Servers that ended, by reason.";
    page.family("tidegate_server_connections_closed", Counter, help, |of| {
        for pool in pools {
            for (reason, count) in &pool.closed {
                of.sample(&with(shared(pool), ("reason", reason)), *count);
            }
        }
    });
    let help = "How long it took to open servers, from the decision to the end of the login.";
    page.family("tidegate_server_connect_seconds", Kind::Histogram, help, |of| {
        for pool in pools {
            let labels = [name, database(pool), user(pool), ("phase", "total")];
            of.histogram(&labels, &pool.connect_time);
        }
    });
    let help = "Attempts to open a server that failed, by kind.";
    page.family("tidegate_server_connect_errors", Counter, help, |of| {
        for pool in pools {
            for (kind, count) in &pool.connect_errors {
                of.sample(&[name, database(pool), user(pool), ("kind", kind)], *count);
            }
        }
    });
    let help = "How long servers were with clients, from checkout to return.";
    page.family("tidegate_server_hold_seconds", Kind::Histogram, help, |of| {
        each(snapshot, |pool, port| of.histogram(&labels(pool, port), &port.hold_time));
    });
    let help = "Prepared statements that servers were sent to parse.";
    page.family("tidegate_prepared_parses", Counter, help, |of| {
        each(snapshot, |pool, port| of.sample(&labels(pool, port), port.prepared_parses));
    });
    let help = "Uses of prepared statements that the server had already.";
    page.family("tidegate_prepared_cache_hits", Counter, help, |of| {
        each(snapshot, |pool, port| of.sample(&labels(pool, port), port.prepared_hits));
    });
    let help = "Prepared statements that were closed to make room for others.";
    page.family("tidegate_prepared_cache_evictions", Counter, help, |of| {
        each(snapshot, |pool, port| of.sample(&labels(pool, port), port.prepared_evictions));
    });
    let help =
        "Batches that were sent again, as a prepared statement of the server's was stale or gone.";
    page.family("tidegate_prepared_healed", Counter, help, |of| {
        each(snapshot, |pool, port| of.sample(&labels(pool, port), port.prepared_healed));
    });
    let help = "Batches that went to another server, as theirs had died: nothing of them had been \
                sent, or they read and retry.read_only is on.";
    page.family("tidegate_resent", Counter, help, |of| {
        each(snapshot, |pool, port| {
            for (reason, count) in &port.resent {
                of.sample(&with(labels(pool, port), ("reason", reason)), *count);
            }
        });
    });
    let help = "Batches that did not go to another server, as too many had of late (retry.budget).";
    page.family("tidegate_resends_refused", Counter, help, |of| {
        each(snapshot, |pool, port| of.sample(&labels(pool, port), port.resends_refused));
    });
    let help = "Transactions of which nobody knows whether they were committed (08007).";
    page.family("tidegate_commits_in_doubt", Counter, help, |of| {
        each(snapshot, |pool, port| of.sample(&labels(pool, port), port.commits_in_doubt));
    });
    let help = "Clients that keep their server past the transaction.";
    page.family("tidegate_pinned", Gauge, help, |of| {
        for pool in &snapshot.pools {
            of.sample(&[database(pool), user(pool)], pool.pinned);
        }
    });
    let help = "Clients that may keep their server past the transaction.";
    page.family("tidegate_pinned_max", Gauge, help, |of| {
        for pool in &snapshot.pools {
            of.sample(&[database(pool), user(pool)], pool.pins_max);
        }
    });
    let help = "Clients that would have kept their server, where too many did.";
    page.family("tidegate_pins_refused", Counter, help, |of| {
        for pool in &snapshot.pools {
            of.sample(&[database(pool), user(pool)], pool.pins_refused);
        }
    });
    let help = "Clients for which one server of the pool listens.";
    page.family("tidegate_listening", Gauge, help, |of| {
        for pool in &snapshot.pools {
            of.sample(&[database(pool), user(pool)], pool.listening);
        }
    });
    let help = "Servers that a client kept past its transaction, by reason.";
    page.family("tidegate_pins", Counter, help, |of| {
        each(snapshot, |pool, port| {
            for (reason, count) in &port.pins {
                of.sample(&with(labels(pool, port), ("reason", reason)), *count);
            }
        });
    });
}

fn clients(page: &mut Page, snapshot: &Snapshot) {
    page.family("tidegate_client_connections", Gauge, "Clients by state.", |of| {
        each(snapshot, |pool, port| {
            let states =
                [("active", port.active), ("idle", port.idle()), ("waiting", port.waiting)];
            for (state, count) in states {
                of.sample(&with(labels(pool, port), ("state", state)), count);
            }
        });
    });
    let help = "Clients that may be connected at once, both ports together.";
    page.family("tidegate_client_connections_max", Gauge, help, |of| {
        of.sample(&[], snapshot.clients_max);
    });
    let help = "What waits for clients or from them, and the statements that they have prepared.";
    page.family("tidegate_client_memory_bytes", Gauge, help, |of| {
        of.sample(&[("kind", "buffers")], snapshot.memory.buffers_bytes);
        of.sample(&[("kind", "statements")], snapshot.memory.statements_bytes);
    });
    let help = "The most that clients may take of the gate's memory.";
    page.family("tidegate_client_memory_max_bytes", Gauge, help, |of| {
        of.sample(&[], snapshot.memory.bytes_max);
    });
    let help = "Logins that succeeded.";
    page.family("tidegate_client_connections_opened", Counter, help, |of| {
        for port in &snapshot.listeners {
            of.sample(&[("listener", &port.listener)], port.logins);
        }
    });
    let help = "Clients that were logged in and have gone, by reason.";
    page.family("tidegate_client_connections_closed", Counter, help, |of| {
        each(snapshot, |pool, port| {
            for (reason, count) in &port.closed {
                of.sample(&with(labels(pool, port), ("reason", reason)), *count);
            }
        });
    });
    let help = "Times that a client took longer than it may, by setting of [timeouts].";
    page.family("tidegate_timeouts", Counter, help, |of| {
        each(snapshot, |pool, port| {
            for (kind, count) in &port.timeouts {
                of.sample(&with(labels(pool, port), ("kind", kind)), *count);
            }
        });
    });
    let help = "Connections refused before they were clients, by reason.";
    page.family("tidegate_client_connections_rejected", Counter, help, |of| {
        for port in &snapshot.listeners {
            for (reason, count) in &port.rejected {
                of.sample(&[("listener", &port.listener), ("reason", reason)], *count);
            }
        }
    });
    let help = "Clients that a drain still has to take leave of; zero while there is no drain.";
    page.family("tidegate_drain_remaining_connections", Gauge, help, |of| {
        of.sample(&[], if snapshot.draining { snapshot.clients } else { 0 });
    });
    page.family("tidegate_cancel_requests", Counter, "Cancel requests, by outcome.", |of| {
        for (outcome, count) in &snapshot.cancel_requests {
            of.sample(&[("outcome", outcome)], *count);
        }
    });
}

fn checkouts(page: &mut Page, snapshot: &Snapshot) {
    let help = "How long checkouts waited, by how they ended.";
    page.family("tidegate_checkout_wait_seconds", Kind::Histogram, help, |of| {
        each(snapshot, |pool, port| {
            for (outcome, waits) in &port.wait_time {
                of.histogram(&with(labels(pool, port), ("outcome", outcome)), waits);
            }
        });
    });
    page.family("tidegate_checkouts", Counter, "Checkouts, by how they ended.", |of| {
        each(snapshot, |pool, port| {
            for (outcome, waits) in &port.wait_time {
                of.sample(&with(labels(pool, port), ("outcome", outcome)), waits.count);
            }
        });
    });
    let help = "Checkouts that could not be served at once.";
    page.family("tidegate_checkouts_queued", Counter, help, |of| {
        each(snapshot, |pool, port| of.sample(&labels(pool, port), port.queued));
    });
    page.family("tidegate_checkout_queue_length", Gauge, "Checkouts that wait now.", |of| {
        each(snapshot, |pool, port| of.sample(&labels(pool, port), port.waiting));
    });
    let help = "How long the first in the queue has waited; zero when nobody waits.";
    page.family("tidegate_checkout_queue_oldest_seconds", Gauge, help, |of| {
        each(snapshot, |pool, port| of.sample(&labels(pool, port), port.oldest_wait_seconds));
    });
    let help = "Time spent in the queue by all, counted while they wait: its rate is the mean \
                length of the queue.";
    page.family("tidegate_checkout_waiter_seconds", Counter, help, |of| {
        each(snapshot, |pool, port| of.sample(&labels(pool, port), port.waiter_seconds));
    });
}

fn work(page: &mut Page, snapshot: &Snapshot) {
    page.family("tidegate_transactions", Counter, "Transactions that ended.", |of| {
        each(snapshot, |pool, port| of.sample(&labels(pool, port), port.transactions));
    });
    page.family("tidegate_queries", Counter, "Statements that ended.", |of| {
        each(snapshot, |pool, port| of.sample(&labels(pool, port), port.queries));
    });
    page.family("tidegate_errors", Counter, "Errors sent to clients, by who raised them.", |of| {
        each(snapshot, |pool, port| {
            of.sample(&with(labels(pool, port), ("source", "upstream")), port.errors);
        });
    });
    let help = "Bytes that passed; rx is what the gate read, tx what it wrote.";
    page.family("tidegate_network_bytes", Counter, help, |of| {
        each(snapshot, |pool, port| {
            for (side, direction, bytes) in [
                ("client", "rx", port.client_received_bytes),
                ("client", "tx", port.client_sent_bytes),
                ("server", "rx", port.server_received_bytes),
                ("server", "tx", port.server_sent_bytes),
            ] {
                let mut labels = with(labels(pool, port), ("side", side));
                labels.push(("direction", direction));
                of.sample(&labels, bytes);
            }
        });
    });
}

/// OpenTelemetry's semantic conventions for database clients, in their Prometheus spelling.
fn conventions(page: &mut Page, snapshot: &Snapshot) {
    const NAME: &str = "db_client_connection_pool_name";
    let pools: Vec<(String, &Pool)> = snapshot
        .pools
        .iter()
        .map(|pool| (format!("{}/{}@{}", pool.database, pool.user, snapshot.upstream.name), pool))
        .collect();
    let sum = |pool: &Pool, of: fn(&PoolPort) -> u32| pool.ports.iter().map(of).sum::<u32>();
    page.family("db_client_connection_count", Gauge, "Servers that are idle or used.", |of| {
        for (name, pool) in &pools {
            let state = |state| [(NAME, name.as_str()), ("db_client_connection_state", state)];
            of.sample(&state("idle"), pool.servers.idle);
            of.sample(&state("used"), sum(pool, |port| port.active));
        }
    });
    page.family("db_client_connection_idle_max", Gauge, "Idle servers that are kept.", |of| {
        for (name, pool) in &pools {
            of.sample(&[(NAME, name)], pool.pool_size);
        }
    });
    page.family("db_client_connection_max", Gauge, "Servers that the pool may have.", |of| {
        for (name, pool) in &pools {
            of.sample(&[(NAME, name)], pool.pool_size.saturating_add(pool.max_overflow));
        }
    });
    let help = "Clients that wait for a server.";
    page.family("db_client_connection_pending_requests", Gauge, help, |of| {
        for (name, pool) in &pools {
            of.sample(&[(NAME, name)], sum(pool, |port| port.waiting));
        }
    });
    let help = "Clients that got no server in time.";
    page.family("db_client_connection_timeouts", Counter, help, |of| {
        for (name, pool) in &pools {
            of.sample(&[(NAME, name)], waits(pool, "timeout").count);
        }
    });
    let help = "How long it took to open servers.";
    page.family("db_client_connection_create_time_seconds", Kind::Histogram, help, |of| {
        for (name, pool) in &pools {
            of.histogram(&[(NAME, name)], &pool.connect_time);
        }
    });
    let help = "How long it took to get a server, where one was got.";
    page.family("db_client_connection_wait_time_seconds", Kind::Histogram, help, |of| {
        for (name, pool) in &pools {
            of.histogram(&[(NAME, name)], &waits(pool, "ok"));
        }
    });
    let help = "How long servers were with clients.";
    page.family("db_client_connection_use_time_seconds", Kind::Histogram, help, |of| {
        for (name, pool) in &pools {
            let holds = Histogram::merged(pool.ports.iter().map(|port| &port.hold_time));
            of.histogram(&[(NAME, name)], &holds);
        }
    });
}

/// The waits of both ports that ended so.
fn waits(pool: &Pool, outcome: &str) -> Histogram {
    Histogram::merged(pool.ports.iter().filter_map(|port| port.wait_time.get(outcome)))
}

type Label<'a> = (&'a str, &'a str);

fn database(pool: &Pool) -> Label<'_> {
    ("database", &pool.database)
}

fn user(pool: &Pool) -> Label<'_> {
    ("user", &pool.user)
}

fn labels<'a>(pool: &'a Pool, port: &'a PoolPort) -> [Label<'a>; 3] {
    [database(pool), user(pool), ("listener", &port.listener)]
}

fn shared(pool: &Pool) -> [Label<'_>; 3] {
    [database(pool), user(pool), ("listener", SHARED)]
}

fn with<'a, const N: usize>(labels: [Label<'a>; N], label: Label<'a>) -> Vec<Label<'a>> {
    labels.into_iter().chain([label]).collect()
}

fn each<'a>(snapshot: &'a Snapshot, mut of: impl FnMut(&'a Pool, &'a PoolPort)) {
    for pool in &snapshot.pools {
        for port in &pool.ports {
            of(pool, port);
        }
    }
}

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
    Info,
}

use Kind::{Counter, Gauge, Info};

/// The units that names may end with.
const UNITS: [&str; 3] = ["seconds", "bytes", "ratio"];

/// The page while it is written. It knows the format and nothing of what is measured.
#[derive(Default)]
struct Page {
    text: String,
    series: u64,
}

impl Page {
    /// Writes a family whose samples `fill` gives; one without samples is left out.
    fn family(&mut self, name: &str, kind: Kind, help: &str, fill: impl FnOnce(&mut Family<'_>)) {
        let start = self.text.len();
        let word = match kind {
            Counter => "counter",
            Gauge => "gauge",
            Kind::Histogram => "histogram",
            Info => "info",
        };
        self.line(format_args!("# TYPE {name} {word}"));
        if let Some(unit) = UNITS.iter().find(|unit| ends_with_unit(name, unit)) {
            self.line(format_args!("# UNIT {name} {unit}"));
        }
        self.line(format_args!("# HELP {name} {help}"));
        let before = self.series;
        fill(&mut Family { page: self, name, kind });
        if self.series == before {
            self.text.truncate(start);
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.text.write_fmt(line);
        self.text.push('\n');
    }

    fn end(mut self) -> String {
        let series = self.series + 1; // With itself.
        self.family("tidegate_metric_series", Gauge, "Series on this page.", |of| {
            of.sample(&[], series);
        });
        self.text.push_str("# EOF\n");
        self.text
    }
}

fn ends_with_unit(name: &str, unit: &str) -> bool {
    name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_'))
}

struct Family<'a> {
    page: &'a mut Page,
    name: &'a str,
    kind: Kind,
}

impl Family<'_> {
    fn sample(&mut self, labels: &[Label<'_>], value: impl Into<Value>) {
        let suffix = match self.kind {
            Counter => "_total",
            Info => "_info",
            Gauge | Kind::Histogram => "",
        };
        self.write(suffix, labels, None, value.into());
    }

    fn maybe(&mut self, labels: &[Label<'_>], value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.sample(labels, value);
        }
    }

    fn histogram(&mut self, labels: &[Label<'_>], histogram: &Histogram) {
        for bucket in &histogram.buckets {
            let bound = Value::Real(bucket.le_seconds).to_string();
            self.write("_bucket", labels, Some(&bound), Value::Whole(bucket.count));
        }
        self.write("_bucket", labels, Some("+Inf"), Value::Whole(histogram.count));
        self.write("_count", labels, None, Value::Whole(histogram.count));
        self.write("_sum", labels, None, Value::Real(histogram.sum_seconds));
    }

    fn write(&mut self, suffix: &str, labels: &[Label<'_>], bound: Option<&str>, value: Value) {
        let text = &mut self.page.text;
        text.push_str(self.name);
        text.push_str(suffix);
        let all = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        for (index, (label, value)) in all.enumerate() {
            text.push(if index == 0 { '{' } else { ',' });
            text.push_str(label);
            text.push_str("=\"");
            escape(value, text);
            text.push('"');
        }
        if !labels.is_empty() || bound.is_some() {
            text.push('}');
        }
        let _ = writeln!(text, " {value}");
        self.page.series += 1;
    }
}

/// Label values may be anything a client has put in its startup packet.
fn escape(value: &str, text: &mut String) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Value {
    Real(f64),
    Whole(u64),
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Whole(value.into())
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(value) => write!(f, "{value}"),
            Self::Real(value) if value.is_nan() => f.write_str("NaN"),
            Self::Real(value) if value.is_infinite() => {
                f.write_str(if *value > 0.0 { "+Inf" } else { "-Inf" })
            }
            Self::Real(value) => write!(f, "{value:?}"), // With a point, as bounds must have.
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::front::Front;
    use crate::snapshot::tests as given;

    type Labels = Vec<(String, String)>;

    /// A page as a strict reader understands it: what is not legal fails.
    #[derive(Debug, Default)]
    struct Read {
        kinds: BTreeMap<String, String>,
        samples: BTreeMap<(String, Labels), f64>,
    }

    impl Read {
        fn value(&self, name: &str, labels: &[Label<'_>]) -> Option<f64> {
            let mut labels: Vec<_> =
                labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            labels.sort();
            self.samples.get(&(name.to_owned(), labels)).copied()
        }
    }

    fn read(page: &str) -> Read {
        let body = page.strip_suffix("# EOF\n").expect("the page ends with EOF");
        assert!(body.lines().all(|line| line != "# EOF"), "EOF is the end");
        let mut read = Read::default();
        let mut family: Option<(String, String, BTreeSet<&str>)> = None;
        for line in body.lines() {
            if let Some(meta) = line.strip_prefix("# ") {
                let (what, rest) = meta.split_once(' ').expect("a keyword and a name");
                let (name, value) = rest.split_once(' ').expect("a name and a value");
                if what == "TYPE" {
                    let legal = ["counter", "gauge", "histogram", "info"];
                    assert!(legal.contains(&value), "{line}");
                    let fresh = read.kinds.insert(name.to_owned(), value.to_owned());
                    assert_eq!(fresh, None, "families are contiguous: {line}");
                    family = Some((name.to_owned(), value.to_owned(), BTreeSet::new()));
                }
                let (of, kind, seen) = family.as_mut().expect("TYPE comes first");
                assert_eq!(of, name, "{line}");
                assert!(seen.insert(what), "twice: {line}");
                match what {
                    "TYPE" | "HELP" => {}
                    "UNIT" => {
                        assert!(name.ends_with(&format!("_{value}")) && kind != "info", "{line}");
                    }
                    _ => panic!("no such keyword: {line}"),
                }
                assert!(!seen.contains("sample"), "after a sample: {line}");
                continue;
            }
            let (name, labels, value) = sample(line);
            let (of, kind, seen) = family.as_mut().expect("TYPE comes before samples");
            seen.insert("sample");
            let suffix = name.strip_prefix(of.as_str()).unwrap_or_else(|| panic!("stray: {line}"));
            let suffixes: &[&str] = match kind.as_str() {
                "counter" => &["_total"],
                "histogram" => &["_bucket", "_count", "_sum"],
                "info" => &["_info"],
                _ => &[""],
            };
            assert!(suffixes.contains(&suffix), "{line}");
            if kind != "gauge" {
                assert!(value >= 0.0, "{line}");
            }
            let le = labels.iter().any(|(label, _)| label == "le");
            assert_eq!(le, suffix == "_bucket", "{line}");
            let fresh = read.samples.insert((name, labels), value);
            assert_eq!(fresh, None, "twice: {line}");
        }
        check_histograms(&read);
        read
    }

    /// Reads one sample line, labels sorted.
    fn sample(line: &str) -> (String, Labels, f64) {
        let end = line.find(['{', ' ']).expect("a sample has a value");
        let (name, mut rest) = line.split_at(end);
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{line}");
        let mut labels = Vec::new();
        while let Some(more) = rest.strip_prefix(['{', ',']) {
            let (label, more) = more.split_once("=\"").expect("a label has a value");
            let mut value = String::new();
            let mut chars = more.char_indices();
            let end = loop {
                match chars.next().expect("a label's value ends") {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match chars.next().map(|(_, c)| c) {
                        Some('n') => '\n',
                        Some(c @ ('\\' | '"')) => c,
                        c => panic!("no such escape: {c:?} in {line}"),
                    }),
                    (_, c) => value.push(c),
                }
            };
            labels.push((label.to_owned(), value));
            rest = &more[end + 1..];
        }
        if !labels.is_empty() {
            rest = rest.strip_prefix('}').expect("labels are closed");
        }
        labels.sort();
        let names: BTreeSet<_> = labels.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), labels.len(), "a label twice: {line}");
        let value = rest.strip_prefix(' ').expect("one blank before the value");
        (name.to_owned(), labels, value.parse().unwrap_or_else(|_| panic!("{line}")))
    }

    /// Buckets ascend, the infinite one is there and is the count.
    fn check_histograms(read: &Read) {
        for (name, _) in read.kinds.iter().filter(|(_, kind)| *kind == "histogram") {
            let mut buckets: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
            for ((sample, labels), value) in &read.samples {
                if *sample == format!("{name}_bucket") {
                    let (le, rest): (Vec<_>, Vec<_>) =
                        labels.iter().cloned().partition(|(label, _)| label == "le");
                    let le = le[0].1.parse().expect("bounds are numbers");
                    buckets.entry(rest).or_default().push((le, *value));
                }
            }
            assert!(!buckets.is_empty(), "{name}");
            for (labels, mut buckets) in buckets {
                buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
                assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{name}");
                let last = buckets.last().expect("there are buckets");
                assert!(last.0.is_infinite(), "{name} has no infinite bucket");
                let count = read.samples.get(&(format!("{name}_count"), labels.clone()));
                assert_eq!(count, Some(&last.1), "{name}");
                assert!(read.samples.contains_key(&(format!("{name}_sum"), labels)), "{name}");
            }
        }
    }

    #[test]
    fn a_busy_gate_makes_a_legal_page_with_the_right_numbers() {
        let page = read(&render(&given::busy()));
        let shop = [("database", "shop"), ("user", "app")];
        let on = |listener, more: &[Label<'static>]| {
            let all = shop.iter().copied().chain([("listener", listener)]);
            all.chain(more.iter().copied()).collect::<Vec<_>>()
        };
        let upstream = ("upstream", "db.example.com:5432");
        for (name, labels, value) in [
            ("tidegate_build_info", vec![("version", "0.1.0")], 1.0),
            ("tidegate_upstream_max_connections", vec![upstream], 18.0),
            (
                "tidegate_upstream_backends",
                vec![upstream, ("origin", "self"), ("state", "active")],
                1.0,
            ),
            (
                "tidegate_upstream_backends",
                vec![upstream, ("origin", "platform"), ("state", "unseen")],
                1.0,
            ),
            ("tidegate_budget_foreign_connections", vec![upstream], 1.0),
            ("tidegate_plan_connection_limit", vec![upstream, ("plan", "free")], 15.0),
            ("tidegate_budget_connections", vec![upstream, ("scope", "instance")], 13.0),
            ("tidegate_listener_accepts_total", vec![("listener", "transaction")], 7.0),
            ("tidegate_pool_size", on("shared", &[]), 2.0),
            ("tidegate_server_connections", on("session", &[("state", "active")]), 1.0),
            ("tidegate_server_connections", on("transaction", &[("state", "active")]), 2.0),
            ("tidegate_server_connections", on("shared", &[("state", "idle")]), 0.0),
            ("tidegate_client_connections", on("transaction", &[("state", "waiting")]), 2.0),
            ("tidegate_checkouts_total", on("transaction", &[("outcome", "ok")]), 2.0),
            ("tidegate_checkout_queue_length", on("transaction", &[]), 2.0),
            ("tidegate_checkout_queue_oldest_seconds", on("transaction", &[]), 2.5),
            ("tidegate_transactions_total", on("transaction", &[]), 41.0),
            ("tidegate_pins_total", on("transaction", &[("reason", "listen")]), 2.0),
            ("tidegate_pins_total", on("session", &[("reason", "listen")]), 0.0),
            (
                "tidegate_network_bytes_total",
                on("transaction", &[("side", "client"), ("direction", "rx")]),
                4096.0,
            ),
            (
                "tidegate_client_connections_rejected_total",
                vec![("listener", "transaction"), ("reason", "auth")],
                3.0,
            ),
            (
                "db_client_connection_pending_requests",
                vec![("db_client_connection_pool_name", "shop/app@db.example.com:5432")],
                2.0,
            ),
        ] {
            assert_eq!(page.value(name, &labels), Some(value), "{name} {labels:?}");
        }
        // No probe was made, and the kernel gave no limit: nothing is invented.
        assert!(!page.kinds.contains_key("tidegate_upstream_up"));
        assert!(!page.kinds.contains_key("process_max_fds"));
        let series = page.value("tidegate_metric_series", &[]).expect("it counts itself");
        assert_eq!(series, page.samples.len() as f64);
    }

    #[test]
    fn a_gate_without_pools_makes_a_legal_page() {
        let mut pools = given::unasked();
        let snapshot = given::snapshot_with(&mut pools, &Front::default(), &[], given::at(1));
        let page = read(&render(&snapshot));
        assert!(!page.kinds.contains_key("tidegate_pool_size"), "it would have no samples");
        let listener = ("listener", "session");
        assert_eq!(page.value("tidegate_listener_accepts_total", &[listener]), Some(0.0));
        let reason = ("reason", "timeout");
        let rejected = "tidegate_client_connections_rejected_total";
        assert_eq!(page.value(rejected, &[listener, reason]), Some(0.0));
    }

    #[test]
    fn names_that_clients_choose_cannot_break_out_of_their_label() {
        let mut snapshot = given::busy();
        let evil = "a\"} 1\n# EOF\n\\ü\u{202e}";
        snapshot.pools[0].database = evil.to_owned();
        let page = read(&render(&snapshot));
        let labels = [("database", evil), ("user", "app"), ("listener", "shared")];
        assert_eq!(page.value("tidegate_pool_size", &labels), Some(2.0));
    }

    #[test]
    fn a_budget_of_nothing_is_not_a_number_out_of_nowhere() {
        let mut snapshot = given::busy();
        let labels = [("upstream", "db.example.com:5432"), ("scope", "instance")];
        for (used, usable, ratio) in [(0, 0, 0.0), (2, 0, f64::INFINITY), (3, 12, 0.25)] {
            snapshot.budget.used = used;
            snapshot.budget.usable = usable;
            let page = read(&render(&snapshot));
            let found = page.value("tidegate_budget_utilization_ratio", &labels);
            assert_eq!(found, Some(ratio), "{used} of {usable}");
        }
    }

    #[test]
    fn every_family_keeps_its_name_and_type() {
        let page = read(&render(&given::busy()));
        let families: Vec<String> =
            page.kinds.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
        insta::assert_snapshot!(families.join("\n"));
    }
}
