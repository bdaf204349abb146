//! The rows of the console's tables.
//!
//! Numbers are those of the snapshot and the lists, which all that shows numbers is made of. Each row has
//! a value for every column of [`crate::console::columns`], whichever version has it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tidegate_config::{Address, Config, ListenAddress, Reload, settings};
use tidegate_observe::report;
use tidegate_observe::snapshot::{Pool, PoolPort, Snapshot};
use tidegate_pool_core::pools::operating::ServerView;
use tidegate_pool_core::server::{Port, ServerId, State};
use tidegate_proxy::clock::seconds_since_1970;
use tidegate_proxy::resolver::Target;
use tidegate_proxy::roster::{ClientRow, ClientState, Found};
use tidegate_proxy::shared::Shared;
use tidegate_proxy::visitors::Visitor;
use tidegate_session::console::table::{Cell, Row};
use tidegate_wire::tick::Tick;

use crate::console::stats::{ByDatabase, Stats};
use crate::lists::by_server;

/// PgBouncer's name for its own database and its owner.
const OWN: &str = "pgbouncer";

/// A row, from values of all kinds.
macro_rules! row {
    ($($value:expr),* $(,)?) => { vec![$(Cell::from($value)),*] };
}

const NULL: Cell = Cell::Null;
const ZERO: u32 = 0;

fn of_port(pool: &Pool, port: Port) -> Option<&PoolPort> {
    pool.ports.iter().find(|of| of.listener == port.as_str())
}

// --- Pools and databases. ---

pub(super) fn pools(snapshot: &Snapshot, port: Port, visitors: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for pool in &snapshot.pools {
        let Some(of) = of_port(pool, port) else { continue };
        let wait = Duration::try_from_secs_f64(of.oldest_wait_seconds).unwrap_or_default();
        rows.push(row![
            pool.database.as_str(),
            pool.user.as_str(),
            of.clients.saturating_sub(of.waiting),
            of.waiting,
            ZERO,
            ZERO,
            of.active,
            ZERO,
            ZERO,
            pool.servers.idle,
            pool.servers.resetting,
            pool.servers.checking,
            pool.servers.dialing,
            wait.as_secs(),
            wait.subsec_micros(),
            port.as_str(),
            NULL,
        ]);
    }
    let visitors = count(visitors);
    rows.push(row![
        OWN,
        OWN,
        visitors,
        ZERO,
        ZERO,
        ZERO,
        ZERO,
        ZERO,
        ZERO,
        ZERO,
        ZERO,
        ZERO,
        ZERO,
        ZERO,
        ZERO,
        "statement",
        NULL,
    ]);
    rows
}

/// What a database's pools have together.
#[derive(Default)]
struct Database {
    pool_size: u32,
    servers: u32,
    clients: u32,
    paused: bool,
}

fn databases_known(snapshot: &Snapshot, config: &Config) -> BTreeMap<String, Database> {
    let mut known = BTreeMap::<String, Database>::new();
    for pool in &snapshot.pools {
        let database = known.entry(pool.database.clone()).or_default();
        database.pool_size = database.pool_size.max(pool.pool_size);
        database.servers += pool.servers_total();
        database.clients += pool.ports.iter().map(|port| port.clients).sum::<u32>();
        database.paused |= pool.paused;
    }
    let declared = config.pool_for.iter().filter_map(|one| one.database.as_deref());
    for name in declared.chain([config.upstream.database.as_str()]) {
        known.entry(name.to_owned()).or_insert_with(|| Database {
            pool_size: config.pool_settings(name, &config.upstream.user).pool_size,
            ..Database::default()
        });
    }
    for name in &snapshot.paused.databases {
        known.entry(name.clone()).or_default().paused = true;
    }
    for database in known.values_mut() {
        database.paused |= snapshot.paused.all;
    }
    known
}

/// The host and the port that servers are dialed at.
fn upstream(shared: &Shared, config: &Config) -> (String, u32) {
    match shared.resolver.target() {
        Ok(Target::Tcp { address, .. }) => (address.ip().to_string(), address.port().into()),
        Ok(Target::Unix(path)) => (format!("unix:{}", path.display()), 0),
        // It has not been resolved yet.
        Err(_) => match config.upstream.hosts.first().map(|host| &host.address) {
            Some(Address::Tcp { host, port }) => (host.clone(), (*port).into()),
            Some(Address::Unix { path }) => (format!("unix:{}", path.display()), 0),
            None => (String::new(), 0),
        },
    }
}

pub(super) fn databases(
    snapshot: &Snapshot,
    shared: &Shared,
    config: &Config,
    port: Port,
    (visitors, local_port): (usize, u32),
) -> Vec<Row> {
    let (host, host_port) = upstream(shared, config);
    let mut rows: Vec<Row> = databases_known(snapshot, config)
        .into_iter()
        .map(|(name, database)| {
            row![
                name.as_str(),
                host.as_str(),
                host_port,
                name.as_str(),
                NULL,
                database.pool_size,
                ZERO,
                ZERO,
                ZERO,
                config
                    .pool_settings(&name, &config.upstream.user)
                    .pool_recycle
                    .map(|age| age.as_secs()),
                port.as_str(),
                NULL,
                snapshot.budget.usable,
                database.servers,
                ZERO,
                database.clients,
                database.paused,
                ZERO,
            ]
        })
        .collect();
    rows.push(row![
        OWN,
        NULL,
        local_port,
        OWN,
        OWN,
        2_u32, // As PgBouncer has it, which nothing follows from.
        ZERO,
        ZERO,
        ZERO,
        NULL,
        "statement",
        NULL,
        ZERO,
        ZERO,
        ZERO,
        count(visitors),
        ZERO,
        ZERO,
    ]);
    rows
}

pub(super) fn users(snapshot: &Snapshot, config: &Config) -> Vec<Row> {
    let mut known = BTreeMap::<&str, (u32, u32)>::new();
    for user in &config.users {
        known.insert(&user.name, (0, 0));
    }
    for pool in &snapshot.pools {
        let (servers, clients) = known.entry(&pool.user).or_default();
        *servers += pool.servers_total();
        *clients += pool.ports.iter().map(|port| port.clients).sum::<u32>();
    }
    known.entry(OWN).or_default();
    let row = |(name, (servers, clients)): (&str, (u32, u32))| {
        row![name, NULL, NULL, NULL, ZERO, servers, ZERO, clients]
    };
    known.into_iter().map(row).collect()
}

pub(super) fn lists(snapshot: &Snapshot, config: &Config, is_new: bool) -> Vec<Row> {
    let idle: u32 = snapshot.pools.iter().map(|pool| pool.servers.idle).sum();
    let servers: u32 = snapshot.pools.iter().map(Pool::servers_total).sum();
    let all = [
        ("databases", count(databases_known(snapshot, config).len() + 1), true),
        ("users", count(users(snapshot, config).len()), true),
        ("peers", 0, is_new),
        ("pools", count(snapshot.pools.len() + 1), true),
        ("peer_pools", 0, is_new),
        ("free_clients", snapshot.clients_max.saturating_sub(snapshot.clients), true),
        ("used_clients", snapshot.clients, true),
        ("login_clients", 0, true),
        ("free_servers", idle, true),
        ("used_servers", servers.saturating_sub(idle), true),
        ("dns_names", 0, true),
        ("dns_zones", 0, true),
        ("dns_queries", 0, true),
        ("dns_pending", 0, true),
    ];
    let shown = all.into_iter().filter(|(_, _, is_shown)| *is_shown);
    shown.map(|(name, items, _)| row![name, items]).collect()
}

pub(super) fn state(snapshot: &Snapshot) -> Vec<Row> {
    let word = |is: bool| if is { "yes" } else { "no" };
    let paused = snapshot.paused.all;
    vec![
        row!["active", word(!paused && !snapshot.draining)],
        row!["paused", word(paused)],
        row!["suspended", "no"],
    ]
}

pub(super) fn mem(snapshot: &Snapshot) -> Vec<Row> {
    let memory = snapshot.memory;
    let taken = memory.buffers_bytes + memory.statements_bytes;
    let free = memory.bytes_max.saturating_sub(taken);
    // Bytes are counted, one by one: a size of 1.
    let row = |name: &str, used: u64| row![name, 1_u32, used, free, used];
    vec![row("buffers", memory.buffers_bytes), row("statements", memory.statements_bytes)]
}

// --- Statistics. ---

/// What the console itself has had: its commands.
fn own(commands: u64) -> Stats {
    Stats { xacts: commands, queries: commands, ..Stats::default() }
}

fn cells(stats: &Stats) -> (Cell, Vec<Cell>, Vec<Cell>) {
    let Stats { assignments, xacts, queries, received, sent, xact_time, wait_time, server_parses } =
        *stats;
    // How long queries take is not measured one by one.
    let old = row![xacts, queries, received, sent, xact_time, ZERO, wait_time];
    (assignments.into(), old, row![ZERO, server_parses, ZERO])
}

/// With the database in front.
fn stats_row(database: &str, parts: &[&Stats]) -> Row {
    let mut row = row![database];
    for stats in parts {
        let (assignments, old, parses) = cells(stats);
        row.push(assignments);
        row.extend(old);
        row.extend(parses);
    }
    row
}

fn with_own(mut all: ByDatabase, commands: u64) -> ByDatabase {
    all.insert(OWN.to_owned(), own(commands));
    all
}

pub(super) fn stats(totals: ByDatabase, averages: &ByDatabase, commands: u64) -> Vec<Row> {
    let none = Stats::default();
    let totals = with_own(totals, commands);
    let row = |(database, total): (&String, &Stats)| {
        stats_row(database, &[total, averages.get(database).unwrap_or(&none)])
    };
    totals.iter().map(row).collect()
}

pub(super) fn stats_totals(totals: ByDatabase, commands: u64) -> Vec<Row> {
    let totals = with_own(totals, commands);
    totals.iter().map(|(database, total)| stats_row(database, &[total])).collect()
}

pub(super) fn stats_averages(totals: ByDatabase, averages: &ByDatabase) -> Vec<Row> {
    let none = Stats::default();
    let totals = with_own(totals, 0);
    let row = |database: &String| stats_row(database, &[averages.get(database).unwrap_or(&none)]);
    totals.keys().map(row).collect()
}

pub(super) fn totals(
    totals: ByDatabase,
    averages: &ByDatabase,
    commands: u64,
    is_new: bool,
) -> Vec<Row> {
    let mut rows = Vec::new();
    for (prefix, all) in [("total", with_own(totals, commands)), ("avg", averages.clone())] {
        let sum = |of: fn(&Stats) -> u64| all.values().map(of).sum::<u64>();
        let values = [
            ("server_assignment_count", sum(|one| one.assignments), is_new),
            ("xact_count", sum(|one| one.xacts), true),
            ("query_count", sum(|one| one.queries), true),
            ("client_bytes", sum(|one| one.received), true),
            ("server_bytes", sum(|one| one.sent), true),
            ("xact_time", sum(|one| one.xact_time), true),
            ("query_time", 0, true),
            ("wait_time", sum(|one| one.wait_time), true),
            ("ps_client_parse_count", 0, is_new),
            ("ps_server_parse_count", sum(|one| one.server_parses), is_new),
            ("ps_bind_count", 0, is_new),
        ];
        let shown = values.into_iter().filter(|(_, _, is_shown)| *is_shown);
        rows.extend(shown.map(|(name, value, _)| row![format!("{prefix}_{name}"), value]));
    }
    rows
}

// --- Connections. ---

/// A moment `ago`, as PgBouncer writes it.
fn time(ago: Duration) -> String {
    let ago = i64::try_from(ago.as_secs()).unwrap_or(i64::MAX);
    calendar(seconds_since_1970().saturating_sub(ago).max(0))
}

/// `2026-11-25 19:34:49 UTC`. Days are turned into dates by the algorithm `civil_from_days` (Howard
/// Hinnant, "chrono-Compatible Low-Level Date Algorithms"), for days since 1970.
fn calendar(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + carry;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// One connection, of either side.
struct Connection<'a> {
    kind: &'static str,
    user: &'a str,
    database: &'a str,
    state: &'static str,
    address: (String, u32),
    local: Option<SocketAddr>,
    age: Duration,
    silent: Duration,
    wait: Duration,
    close_needed: bool,
    ptr: String,
    link: String,
    pid: u32,
    tls: &'a str,
    application: &'a str,
    id: u64,
}

impl Connection<'_> {
    fn row(self) -> Row {
        let (address, port) = self.address;
        let local = self.local.map_or((String::new(), 0), of_address);
        row![
            self.kind,
            self.user,
            self.database,
            "none",
            self.state,
            address,
            port,
            local.0,
            local.1,
            time(self.age),
            time(self.silent),
            self.wait.as_secs(),
            self.wait.subsec_micros(),
            self.close_needed,
            self.ptr,
            self.link,
            self.pid,
            self.tls,
            self.application,
            ZERO,
            self.id,
        ]
    }
}

fn of_address(address: SocketAddr) -> (String, u32) {
    (address.ip().to_string(), address.port().into())
}

/// PgBouncer says so of a Unix socket.
fn of_client(address: Option<SocketAddr>) -> (String, u32) {
    address.map_or(("unix".to_owned(), 0), of_address)
}

/// Whose words for states are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    /// Those of SHOW CLIENTS and SHOW SERVERS. `has_idle`: idle clients have a word of their own.
    Plain { has_idle: bool },
    /// Those of SHOW SOCKETS.
    Sockets,
}

fn client_state(state: ClientState, words: Words) -> &'static str {
    match (state, words) {
        (ClientState::Waiting, Words::Plain { .. }) => "waiting",
        (ClientState::Waiting, Words::Sockets) => "cl_waiting",
        (ClientState::LoggingIn, Words::Sockets) => "cl_login",
        (ClientState::Idle | ClientState::Listening, Words::Plain { has_idle: true }) => "idle",
        (_, Words::Plain { .. }) => "active",
        (_, Words::Sockets) => "cl_active",
    }
}

/// None for those that are being closed, of which PgBouncer has no more.
fn server_state(state: State, words: Words) -> Option<&'static str> {
    let (plain, socket) = match state {
        State::Dialing => ("new", "sv_login"),
        State::Idle => ("idle", "sv_idle"),
        State::Leased(_) => ("active", "sv_active"),
        State::Resetting => ("used", "sv_used"),
        State::Checking => ("tested", "sv_tested"),
        State::Closing => return None,
    };
    Some(if words == Words::Sockets { socket } else { plain })
}

pub(super) fn clients(found: &[Found], port: Port, words: Words) -> Vec<Row> {
    let clients = found.iter().flat_map(|found| &found.clients).filter(|row| row.port == port);
    let row = |row: &ClientRow| {
        let waits = row.state == ClientState::Waiting;
        Connection {
            kind: "C",
            user: &row.user,
            database: &row.database,
            state: client_state(row.state, words),
            address: of_client(row.address),
            local: row.local_address,
            age: row.age,
            silent: row.silent,
            wait: if waits { row.in_state } else { Duration::ZERO },
            close_needed: false,
            ptr: row.id.to_string(),
            link: row.server.map(|id| id.number().to_string()).unwrap_or_default(),
            pid: 0, // Of the application's process nothing is known.
            tls: row.tls.unwrap_or_default(),
            application: &row.application,
            id: row.id.pid.into(),
        }
        .row()
    };
    clients.map(row).collect()
}

pub(super) fn visitors<'a>(
    all: impl Iterator<Item = (&'a Visitor, Tick)>,
    now: Tick,
    words: Words,
) -> Vec<Row> {
    let row = |(visitor, since): (&Visitor, Tick)| {
        Connection {
            kind: "C",
            user: &visitor.user,
            database: OWN,
            state: client_state(ClientState::Active, words),
            address: of_client(visitor.address),
            local: visitor.local_address,
            age: now.since(since),
            silent: Duration::ZERO,
            wait: Duration::ZERO,
            close_needed: false,
            ptr: visitor.pid.to_string(),
            link: String::new(),
            pid: 0,
            tls: visitor.tls.unwrap_or_default(),
            application: &visitor.application,
            id: visitor.pid.into(),
        }
        .row()
    };
    all.map(row).collect()
}

/// Those with clients of this port, and those without.
pub(super) fn servers(
    found: &[Found],
    servers: &[ServerView],
    (host, host_port): &(String, u32),
    port: Port,
    words: Words,
) -> Vec<Row> {
    let clients = by_server(found);
    let mut rows = Vec::new();
    for server in servers {
        if matches!(server.state, State::Leased(of) if of != port) {
            continue;
        }
        let Some(state) = server_state(server.state, words) else { continue };
        let client = clients.get(&server.id);
        let connection = Connection {
            kind: "S",
            user: &server.key.user,
            database: &server.key.database,
            state,
            address: (host.clone(), *host_port),
            local: None,
            age: server.age,
            silent: server.in_state,
            wait: Duration::ZERO,
            close_needed: server.is_retired,
            ptr: server.id.number().to_string(),
            link: client.map(|row| row.id.to_string()).unwrap_or_default(),
            pid: server.pid,
            tls: "",
            application: client.map_or("", |row| &row.application),
            id: server.id.number(),
        };
        rows.push(connection.row());
    }
    rows
}

pub(super) fn upstream_address(shared: &Shared, config: &Config) -> (String, u32) {
    upstream(shared, config)
}

/// The positions in buffers of a socket. Most have none, and none is told.
pub(super) fn as_sockets(mut rows: Vec<Row>) -> Vec<Row> {
    for row in &mut rows {
        row.extend(std::iter::repeat_n(Cell::from(ZERO), 7));
    }
    rows
}

// --- Settings. ---

/// PgBouncer's names for what there is here, and then Tidegate's own.
pub(super) fn config(config: &Config, clients_max: u32, port: Port) -> Vec<Row> {
    let off = |period: Option<Duration>| period.unwrap_or_default().as_secs().to_string();
    let (address, listen_port) = listens_at(match port {
        Port::Session => &config.listen.session,
        Port::Transaction => &config.listen.transaction,
    });
    let clients = config.timeouts.clients;
    let pool = &config.pool;
    let pgbouncers = [
        ("admin_users", config.auth.admin_users.join(","), "yes"),
        ("auth_query", config.auth.query.clone().unwrap_or_default(), "no"),
        ("auth_type", "scram-sha-256".to_owned(), "no"),
        ("client_idle_timeout", off(clients.client_idle), "yes"),
        ("client_login_timeout", config.timeouts.client_login.as_secs().to_string(), "yes"),
        ("default_pool_size", pool.pool_size.to_string(), "yes"),
        ("idle_transaction_timeout", off(clients.idle_in_transaction), "yes"),
        ("listen_addr", address, "no"),
        ("listen_port", listen_port.to_string(), "no"),
        ("max_client_conn", clients_max.to_string(), "no"),
        ("max_db_connections", "0".to_owned(), "no"),
        (
            "max_prepared_statements",
            config.prepared.statements_max.unwrap_or_default().to_string(),
            "no",
        ),
        ("max_user_connections", "0".to_owned(), "no"),
        ("min_pool_size", "0".to_owned(), "no"),
        ("pool_mode", port.as_str().to_owned(), "no"),
        ("query_timeout", off(clients.query), "yes"),
        ("query_wait_timeout", pool.pool_timeout.as_secs().to_string(), "yes"),
        ("reserve_pool_size", pool.max_overflow.to_string(), "yes"),
        ("server_connect_timeout", config.timeouts.connect.as_secs().to_string(), "yes"),
        ("server_idle_timeout", off(pool.server_idle_timeout), "yes"),
        ("server_lifetime", off(pool.pool_recycle), "yes"),
        ("stats_users", config.auth.stats_users.join(","), "yes"),
        ("transaction_timeout", off(clients.transaction), "yes"),
    ];
    let mut rows: Vec<Row> = pgbouncers
        .into_iter()
        .map(|(key, value, changeable)| row![key, value, NULL, changeable])
        .collect();
    for (key, value) in tidegate_config::list(config) {
        let declared = settings().iter().find(|setting| setting.name == key);
        // As it stands in the file, where text is in quotes.
        let default = declared.map(|setting| setting.default.trim_matches('"').to_owned());
        let is_live = declared.is_none_or(|setting| setting.reload == Reload::Live);
        rows.push(row![key, value, default, if is_live { "yes" } else { "no" }]);
    }
    rows
}

fn listens_at(addresses: &[ListenAddress]) -> (String, u16) {
    let tcp = addresses.iter().find_map(|address| match address {
        ListenAddress::Tcp(address) => Some((address.ip().to_string(), address.port())),
        ListenAddress::Unix(_) => None,
    });
    tcp.unwrap_or_default()
}

// --- Tidegate's own. ---

pub(super) fn budget(snapshot: &Snapshot) -> Vec<Row> {
    let (budget, limits) = (&snapshot.budget, snapshot.upstream.limits);
    vec![row![
        snapshot.upstream.name.as_str(),
        snapshot.upstream.kind.as_str(),
        snapshot.plan.name.as_str(),
        budget.usable,
        budget.binding.as_str(),
        budget.used,
        budget.foreign,
        snapshot.plan.connections_max,
        limits.map(|limits| limits.max_connections),
        limits.map(|limits| limits.superuser_reserved + limits.reserved),
        budget.headroom,
    ]]
}

/// A row for each reason that a pool has had, and one without for a pool that has had none.
pub(super) fn pins(snapshot: &Snapshot) -> Vec<Row> {
    let mut rows = Vec::new();
    for pool in &snapshot.pools {
        let row = |port: Cell, reason: Cell, total: Cell| {
            let mut row = row![
                pool.database.as_str(),
                pool.user.as_str(),
                pool.pinned,
                pool.pins_max,
                pool.pins_refused,
            ];
            row.extend([port, reason, total]);
            row
        };
        let before = rows.len();
        for port in &pool.ports {
            let had = port.pins.iter().filter(|(_, count)| **count > 0);
            rows.extend(had.map(|(reason, count)| {
                row(port.listener.as_str().into(), reason.as_str().into(), (*count).into())
            }));
        }
        if rows.len() == before {
            rows.push(row(NULL, NULL, Cell::from(ZERO)));
        }
    }
    rows
}

/// Who holds a server, the longest first.
pub(super) fn holders(found: &[Found], servers: &[ServerView]) -> Vec<Row> {
    let clients = by_server(found);
    let listeners = |id: ServerId| {
        let mut all = found.iter().flat_map(|found| &found.listening);
        all.find(|row| row.server == id).map(|row| count(row.clients))
    };
    let mut held: Vec<&ServerView> =
        servers.iter().filter(|server| matches!(server.state, State::Leased(_))).collect();
    held.sort_by_key(|server| std::cmp::Reverse(server.in_state));
    let row = |server: &ServerView| {
        let client = clients.get(&server.id);
        let port = match server.state {
            State::Leased(port) => Some(port.as_str()),
            _ => None,
        };
        row![
            client.map(|row| row.id.to_string()),
            port,
            &*server.key.database,
            &*server.key.user,
            client.map(|row| row.application.clone()),
            client.map(|row| of_client(row.address).0),
            client.map(|row| row.state.as_str()),
            u64::try_from(server.in_state.as_millis()).unwrap_or(u64::MAX),
            client.map(|row| row.pins.join(",")),
            server.id.number(),
            server.pid,
            listeners(server.id),
        ]
    };
    held.into_iter().map(row).collect()
}

pub(super) fn verdict(snapshot: &Snapshot) -> Vec<Row> {
    let (verdict, cause) = report::verdict(snapshot);
    vec![row![verdict.as_str(), cause]]
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_told_as_dates_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199, "2024-02-29 23:59:59 UTC"),
            (1_795_635_289, "2026-11-25 19:34:49 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(calendar(seconds), expected);
        }
    }
}
