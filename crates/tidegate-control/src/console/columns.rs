//! The columns of the console's tables: PgBouncer's, to the name, the order, and the type.
//!
//! PgBouncer 1.18.0 was looked at; 1.25.2 is as its sources have it (`src/admin.c`, `src/stats.c`,
//! `src/main.c`). Tables that 1.18 has not are those of 1.25.

use std::borrow::Cow;

use tidegate_config::ConsoleVersion;
use tidegate_session::console::table::Type::{self, Int4, Int8, Numeric, Text};
use tidegate_session::console::table::{Cell, Column, Columns, Row};

/// Which version of PgBouncer has a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum In {
    Both,
    New,
    Old,
}

use In::{Both, New, Old};

impl In {
    const fn has(self, version: ConsoleVersion) -> bool {
        match self {
            Self::Both => true,
            Self::New => matches!(version, ConsoleVersion::V1_25),
            Self::Old => matches!(version, ConsoleVersion::V1_18),
        }
    }
}

type Def = (&'static str, Type, In);

/// A table of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    ActiveSockets,
    Clients,
    Config,
    Databases,
    DnsHosts,
    DnsZones,
    Lists,
    Mem,
    PeerPools,
    Peers,
    Pools,
    Servers,
    Sockets,
    State,
    Stats,
    StatsAverages,
    StatsTotals,
    Totals,
    Users,
    Version,
    // Tidegate's own.
    Budget,
    Holders,
    Pins,
    Verdict,
}

impl Table {
    /// PgBouncer's, by the word behind SHOW.
    pub(super) const PGBOUNCERS: [Self; 20] = [
        Self::Clients,
        Self::Config,
        Self::Databases,
        Self::Lists,
        Self::Mem,
        Self::PeerPools,
        Self::Peers,
        Self::Pools,
        Self::Servers,
        Self::Sockets,
        Self::ActiveSockets,
        Self::State,
        Self::Stats,
        Self::StatsAverages,
        Self::StatsTotals,
        Self::Totals,
        Self::Users,
        Self::Version,
        Self::DnsHosts,
        Self::DnsZones,
    ];

    /// Our own, by the word behind SHOW TIDEGATE.
    pub(super) const TIDEGATES: [Self; 4] =
        [Self::Budget, Self::Holders, Self::Pins, Self::Verdict];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::ActiveSockets => "active_sockets",
            Self::Clients => "clients",
            Self::Config => "config",
            Self::Databases => "databases",
            Self::DnsHosts => "dns_hosts",
            Self::DnsZones => "dns_zones",
            Self::Lists => "lists",
            Self::Mem => "mem",
            Self::PeerPools => "peer_pools",
            Self::Peers => "peers",
            Self::Pools => "pools",
            Self::Servers => "servers",
            Self::Sockets => "sockets",
            Self::State => "state",
            Self::Stats => "stats",
            Self::StatsAverages => "stats_averages",
            Self::StatsTotals => "stats_totals",
            Self::Totals => "totals",
            Self::Users => "users",
            Self::Version => "version",
            Self::Budget => "budget",
            Self::Holders => "holders",
            Self::Pins => "pins",
            Self::Verdict => "verdict",
        }
    }

    fn defs(self) -> Vec<&'static Def> {
        let parts: &[&'static [Def]] = match self {
            Self::ActiveSockets | Self::Sockets => &[CONNECTIONS, BUFFERS],
            Self::Clients | Self::Servers => &[CONNECTIONS],
            Self::Config => &[CONFIG],
            Self::Databases => &[DATABASES],
            Self::DnsHosts => &[DNS_HOSTS],
            Self::DnsZones => &[DNS_ZONES],
            Self::Lists => &[LISTS],
            Self::Mem => &[MEM],
            Self::PeerPools => &[PEER_POOLS],
            Self::Peers => &[PEERS],
            Self::Pools => &[POOLS],
            Self::State => &[STATE],
            Self::Stats => &[STATS],
            Self::StatsAverages => &[STATS_AVERAGES],
            Self::StatsTotals => &[STATS_TOTALS],
            Self::Totals => &[TOTALS],
            Self::Users => &[USERS],
            Self::Version => &[VERSION],
            Self::Budget => &[BUDGET],
            Self::Holders => &[HOLDERS],
            Self::Pins => &[PINS],
            Self::Verdict => &[VERDICT],
        };
        parts.iter().flat_map(|part| part.iter()).collect()
    }

    /// The columns that it has in a version.
    pub(super) fn columns(self, version: ConsoleVersion) -> Columns {
        let defs = self.defs().into_iter().filter(|(_, _, of)| of.has(version));
        defs.map(|(name, kind, _)| column(name, *kind)).collect()
    }

    /// A row of values for all columns that there are, without those that the version has not.
    pub(super) fn fit(self, version: ConsoleVersion, row: Row) -> Row {
        let defs = self.defs();
        debug_assert_eq!(defs.len(), row.len(), "{self:?} has a value for each column");
        let cells = defs.into_iter().zip(row).filter(|((_, _, of), _)| of.has(version));
        cells.map(|(_, cell)| cell).collect::<Vec<Cell>>()
    }
}

pub(super) fn column(name: &'static str, kind: Type) -> Column {
    Column { name: Cow::Borrowed(name), kind }
}

const POOLS: &[Def] = &[
    ("database", Text, Both),
    ("user", Text, Both),
    ("cl_active", Int4, Both),
    ("cl_waiting", Int4, Both),
    ("cl_active_cancel_req", Int4, Both),
    ("cl_waiting_cancel_req", Int4, Both),
    ("sv_active", Int4, Both),
    ("sv_active_cancel", Int4, Both),
    ("sv_being_canceled", Int4, Both),
    ("sv_idle", Int4, Both),
    ("sv_used", Int4, Both),
    ("sv_tested", Int4, Both),
    ("sv_login", Int4, Both),
    ("maxwait", Int4, Both),
    ("maxwait_us", Int4, Both),
    ("pool_mode", Text, Both),
    ("load_balance_hosts", Text, New),
];

const PEER_POOLS: &[Def] = &[
    ("peer_id", Int4, Both),
    ("cl_active_cancel_req", Int4, Both),
    ("cl_waiting_cancel_req", Int4, Both),
    ("sv_active_cancel", Int4, Both),
    ("sv_login", Int4, Both),
];

const PEERS: &[Def] = &[
    ("peer_id", Int4, Both),
    ("host", Text, Both),
    ("port", Int4, Both),
    ("pool_size", Int4, Both),
];

const STATS: &[Def] = &[
    ("database", Text, Both),
    ("total_server_assignment_count", Numeric, New),
    ("total_xact_count", Numeric, Both),
    ("total_query_count", Numeric, Both),
    ("total_received", Numeric, Both),
    ("total_sent", Numeric, Both),
    ("total_xact_time", Numeric, Both),
    ("total_query_time", Numeric, Both),
    ("total_wait_time", Numeric, Both),
    ("total_client_parse_count", Numeric, New),
    ("total_server_parse_count", Numeric, New),
    ("total_bind_count", Numeric, New),
    ("avg_server_assignment_count", Numeric, New),
    ("avg_xact_count", Numeric, Both),
    ("avg_query_count", Numeric, Both),
    ("avg_recv", Numeric, Both),
    ("avg_sent", Numeric, Both),
    ("avg_xact_time", Numeric, Both),
    ("avg_query_time", Numeric, Both),
    ("avg_wait_time", Numeric, Both),
    ("avg_client_parse_count", Numeric, New),
    ("avg_server_parse_count", Numeric, New),
    ("avg_bind_count", Numeric, New),
];

const STATS_TOTALS: &[Def] = &[
    ("database", Text, Both),
    ("server_assignment_count", Numeric, New),
    ("xact_count", Numeric, Both),
    ("query_count", Numeric, Both),
    ("bytes_received", Numeric, Both),
    ("bytes_sent", Numeric, Both),
    ("xact_time", Numeric, Both),
    ("query_time", Numeric, Both),
    ("wait_time", Numeric, Both),
    ("client_parse_count", Numeric, New),
    ("server_parse_count", Numeric, New),
    ("bind_count", Numeric, New),
];

const STATS_AVERAGES: &[Def] = &[
    ("database", Text, Both),
    ("server_assignment_count", Numeric, New),
    ("xact_count", Numeric, Both),
    ("query_count", Numeric, Both),
    ("bytes_received", Numeric, Both),
    ("bytes_sent", Numeric, Both),
    ("xact_time", Numeric, Both),
    ("query_time", Numeric, Both),
    ("wait_time", Numeric, Both),
    ("avg_client_parse_count", Numeric, New),
    ("avg_server_parse_count", Numeric, New),
    ("avg_bind_count", Numeric, New),
];

const TOTALS: &[Def] = &[("name", Text, Both), ("value", Numeric, Both)];

const CONNECTIONS: &[Def] = &[
    ("type", Text, Both),
    ("user", Text, Both),
    ("database", Text, Both),
    ("replication", Text, New),
    ("state", Text, Both),
    ("addr", Text, Both),
    ("port", Int4, Both),
    ("local_addr", Text, Both),
    ("local_port", Int4, Both),
    ("connect_time", Text, Both),
    ("request_time", Text, Both),
    ("wait", Int4, Both),
    ("wait_us", Int4, Both),
    ("close_needed", Int4, Both),
    ("ptr", Text, Both),
    ("link", Text, Both),
    ("remote_pid", Int4, Both),
    ("tls", Text, Both),
    ("application_name", Text, Both),
    ("prepared_statements", Int4, New),
    ("id", Int4, New),
];

const BUFFERS: &[Def] = &[
    ("recv_pos", Int4, Both),
    ("pkt_pos", Int4, Both),
    ("pkt_remain", Int4, Both),
    ("send_pos", Int4, Both),
    ("send_remain", Int4, Both),
    ("pkt_avail", Int4, Both),
    ("send_avail", Int4, Both),
];

const DATABASES: &[Def] = &[
    ("name", Text, Both),
    ("host", Text, Both),
    ("port", Int4, Both),
    ("database", Text, Both),
    ("force_user", Text, Both),
    ("pool_size", Int4, Both),
    ("min_pool_size", Int4, Both),
    ("reserve_pool", Int4, Old),
    ("reserve_pool_size", Int4, New),
    ("server_lifetime", Int4, New),
    ("pool_mode", Text, Both),
    ("load_balance_hosts", Text, New),
    ("max_connections", Int4, Both),
    ("current_connections", Int4, Both),
    ("max_client_connections", Int4, New),
    ("current_client_connections", Int4, New),
    ("paused", Int4, Both),
    ("disabled", Int4, Both),
];

const USERS: &[Def] = &[
    ("name", Text, Both),
    ("pool_size", Text, New),
    ("reserve_pool_size", Text, New),
    ("pool_mode", Text, Both),
    ("max_user_connections", Int4, New),
    ("current_connections", Int4, New),
    ("max_user_client_connections", Int4, New),
    ("current_client_connections", Int4, New),
];

const LISTS: &[Def] = &[("list", Text, Both), ("items", Int4, Both)];

const CONFIG: &[Def] = &[
    ("key", Text, Both),
    ("value", Text, Both),
    ("default", Text, Both),
    ("changeable", Text, Both),
];

const MEM: &[Def] = &[
    ("name", Text, Both),
    ("size", Int4, Both),
    ("used", Int4, Both),
    ("free", Int4, Both),
    ("memtotal", Int4, Both),
];

const STATE: &[Def] = &[("key", Text, Both), ("value", Text, Both)];

const VERSION: &[Def] = &[("version", Text, Both)];

const DNS_HOSTS: &[Def] = &[("hostname", Text, Both), ("ttl", Int8, Both), ("addrs", Text, Both)];

const DNS_ZONES: &[Def] =
    &[("zonename", Text, Both), ("serial", Int8, Both), ("count", Int4, Both)];

const BUDGET: &[Def] = &[
    ("upstream", Text, Both),
    ("kind", Text, Both),
    ("plan", Text, Both),
    ("usable", Int4, Both),
    ("binding", Text, Both),
    ("used", Int4, Both),
    ("foreign", Int4, Both),
    ("plan_connections", Int4, Both),
    ("max_connections", Int4, Both),
    ("reserved", Int4, Both),
    ("headroom", Int4, Both),
];

const HOLDERS: &[Def] = &[
    ("client", Text, Both),
    ("port", Text, Both),
    ("database", Text, Both),
    ("user", Text, Both),
    ("application_name", Text, Both),
    ("addr", Text, Both),
    ("state", Text, Both),
    ("held_ms", Int8, Both),
    ("pins", Text, Both),
    ("server", Int8, Both),
    ("remote_pid", Int4, Both),
    ("listeners", Int4, Both),
];

const PINS: &[Def] = &[
    ("database", Text, Both),
    ("user", Text, Both),
    ("pinned", Int4, Both),
    ("pins_max", Int4, Both),
    ("refused", Int8, Both),
    ("port", Text, Both),
    ("reason", Text, Both),
    ("pins_total", Int8, Both),
];

const VERDICT: &[Def] = &[("verdict", Text, Both), ("cause", Text, Both)];
