//! The ledger: every connection of the database, ours or not, as the last census has found it.
//!
//! A plan's limit counts all connections, whoever opened them, so whoever looks for the one that is too
//! many must see all. PostgreSQL shows the state of others' sessions only to members of
//! `pg_read_all_stats`; without, such rows are here, as connections of which little is known.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_wire::tick::Tick;

/// Whose a connection is, as far as its role and its name for itself tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// This gate's: a server, or the census.
    #[serde(rename = "self")]
    Own,
    /// Of a service of the platform that the database runs on.
    Platform,
    /// Of another pooler.
    OtherPooler,
    /// Of a tool that changes, dumps, or restores the database.
    Migration,
    /// Of anybody else: it does not pass through the gate.
    Direct,
    /// Of a role that PostgreSQL does not name.
    #[default]
    Unknown,
}

impl Origin {
    /// All of them, for metrics that start at zero.
    pub const ALL: [Self; 6] = [
        Self::Own,
        Self::Platform,
        Self::OtherPooler,
        Self::Migration,
        Self::Direct,
        Self::Unknown,
    ];

    /// The word for metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Own => "self",
            Self::Platform => "platform",
            Self::OtherPooler => "other_pooler",
            Self::Migration => "migration",
            Self::Direct => "direct",
            Self::Unknown => "unknown",
        }
    }

    /// Of a connection that is not this gate's.
    pub fn of(role: &str, application: &str) -> Self {
        let application = application.to_ascii_lowercase();
        let is_named = |names: &[&str]| names.iter().any(|name| application.starts_with(name));
        if is_named(POOLERS) {
            Self::OtherPooler
        } else if is_named(TOOLS) {
            Self::Migration
        } else if PLATFORM_ROLES.contains(&role) || is_named(PLATFORM_APPLICATIONS) {
            Self::Platform
        } else if role.is_empty() {
            Self::Unknown
        } else {
            Self::Direct
        }
    }
}

/// Roles that platforms keep for themselves: Supabase (`supabase/postgres`, its initial schema), RDS and
/// Aurora, Cloud SQL, Azure, Neon (their manuals on reserved roles).
const PLATFORM_ROLES: &[&str] = &[
    "authenticator",
    "azure_superuser",
    "azuresu",
    "cloud_admin",
    "cloudsqladmin",
    "cloudsqlagent",
    "rdsadmin",
    "rdsrepladmin",
    "rdstopmgr",
    "supabase_admin",
    "supabase_auth_admin",
    "supabase_etl_admin",
    "supabase_read_only_user",
    "supabase_realtime_admin",
    "supabase_replication_admin",
    "supabase_storage_admin",
];

/// Fronts of the names that services of platforms give themselves, in lower case.
const PLATFORM_APPLICATIONS: &[&str] = &["postgrest", "realtime_", "gotrue", "storage-api"];

/// Fronts of the names of other poolers, in lower case.
const POOLERS: &[&str] = &["odyssey", "pg_doorman", "pgbouncer", "pgcat", "pgdog", "supavisor"];

/// Fronts of the names of tools, in lower case.
const TOOLS: &[&str] =
    &["alembic", "flyway", "liquibase", "pg_dump", "pg_restore", "tidegate migrate"];

/// One connection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Backend {
    /// Its process.
    pub pid: u32,
    /// Whose it is.
    pub origin: Origin,
    /// Its database.
    pub database: String,
    /// The role that it logged in as; empty where PostgreSQL names none.
    pub user: String,
    /// What it calls itself; may be empty.
    pub application: String,
    /// Where it comes from: an address, or `local` for a Unix socket. Null where that may not be seen.
    pub address: Option<String>,
    /// PostgreSQL's word for what it is at (`pg_stat_activity.state`). Null where that may not be seen.
    pub state: Option<String>,
    /// For how long.
    pub state_seconds: Option<f64>,
    /// How long its transaction lasts, if it has one.
    pub transaction_seconds: Option<f64>,
    /// How long it has been connected.
    pub age_seconds: Option<f64>,
    /// Whom it waits for, where it waits for a lock.
    pub blocked_by: Vec<u32>,
    /// How many wait for it.
    pub blocks: u32,
}

impl Backend {
    /// Whether it is in a transaction in which nothing happens.
    pub fn is_idle_in_transaction(&self) -> bool {
        self.state.as_deref().is_some_and(|state| state.starts_with("idle in transaction"))
    }
}

/// All connections, at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Ledger {
    /// When the census was taken.
    pub taken: Tick,
    /// Whether all may be seen of all.
    pub privileged: bool,
    /// All client connections of the server, whichever database they are to, by pid.
    pub backends: Vec<Backend>,
}

impl Ledger {
    /// Those of one moment. `blocks` is reckoned from `blocked_by`.
    pub fn new(taken: Tick, privileged: bool, mut backends: Vec<Backend>) -> Self {
        let mut blocks = BTreeMap::<u32, u32>::new();
        for pid in backends.iter().flat_map(|backend| &backend.blocked_by) {
            *blocks.entry(*pid).or_default() += 1;
        }
        for backend in &mut backends {
            backend.blocks = blocks.get(&backend.pid).copied().unwrap_or(0);
        }
        backends.sort_by_key(|backend| backend.pid);
        Self { taken, privileged, backends }
    }

    /// The same in a few numbers.
    pub fn summary(&self, now: Tick) -> Summary {
        let mut counts = BTreeMap::<(Origin, &str), u32>::new();
        let mut roles = BTreeMap::<&str, u32>::new();
        let mut others = BTreeMap::<(Origin, &str, &str), u32>::new();
        let mut oldest = BTreeMap::<Origin, f64>::new();
        let mut oldest_idle = BTreeMap::<Origin, f64>::new();
        for backend in &self.backends {
            let Backend { origin, user, application, .. } = backend;
            *counts.entry((*origin, state_word(backend.state.as_deref()))).or_default() += 1;
            *roles.entry(user).or_default() += 1;
            if *origin != Origin::Own {
                *others.entry((*origin, user, application)).or_default() += 1;
            }
            longer(&mut oldest, *origin, backend.transaction_seconds);
            if backend.is_idle_in_transaction() {
                longer(&mut oldest_idle, *origin, backend.state_seconds);
            }
        }
        let all = Origin::ALL.into_iter();
        let all = all.flat_map(|origin| STATES.iter().map(move |state| (origin, *state)));
        let counts = all.map(|(origin, state)| Count {
            origin,
            state: state.to_owned(),
            count: counts.get(&(origin, state)).copied().unwrap_or(0),
        });
        let others = others.into_iter().map(|((origin, user, application), count)| Others {
            origin,
            user: user.to_owned(),
            application: application.to_owned(),
            count,
        });
        let blocked = self.backends.iter().filter(|backend| !backend.blocked_by.is_empty()).count();
        Summary {
            age_seconds: now.since(self.taken).as_secs_f64(),
            privileged: self.privileged,
            counts: counts.collect(),
            roles: most(roles.into_iter().map(|(role, count)| Role { role: role.into(), count })),
            others: most(others),
            oldest_transaction_seconds: of_each_origin(&oldest),
            oldest_idle_in_transaction_seconds: of_each_origin(&oldest_idle),
            blocked: u32::try_from(blocked).unwrap_or(u32::MAX),
        }
    }
}

/// The ledger in a few numbers. Maps and lists of counts have an entry for each origin and state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How long ago the census was taken.
    pub age_seconds: f64,
    /// Whether all may be seen of all: the census's role is a member of `pg_read_all_stats`.
    pub privileged: bool,
    /// Connections by origin and state. All together they are all client connections of the server.
    pub counts: Vec<Count>,
    /// Connections by role, the most first; [`ROWS_MAX`] roles at most.
    pub roles: Vec<Role>,
    /// Those that are not this gate's, by whose they are, the most first; [`ROWS_MAX`] rows at most.
    pub others: Vec<Others>,
    /// The oldest transaction of each origin; 0 where there is none.
    pub oldest_transaction_seconds: BTreeMap<String, f64>,
    /// The longest that a transaction of each origin has done nothing.
    pub oldest_idle_in_transaction_seconds: BTreeMap<String, f64>,
    /// Connections that wait for a lock.
    pub blocked: u32,
}

/// How many connections of an origin are in a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Whose.
    pub origin: Origin,
    /// One of [`STATES`].
    pub state: String,
    /// How many.
    pub count: u32,
}

/// How many connections a role has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// The role.
    pub role: String,
    /// How many.
    pub count: u32,
}

/// Connections of others that look alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Others {
    /// Whose.
    pub origin: Origin,
    /// Their role.
    pub user: String,
    /// What they call themselves; may be empty.
    pub application: String,
    /// How many.
    pub count: u32,
}

trait Counted {
    fn count(&self) -> u32;
}

impl Counted for Role {
    fn count(&self) -> u32 {
        self.count
    }
}

impl Counted for Others {
    fn count(&self) -> u32 {
        self.count
    }
}

/// Roles and applications have names that anybody may choose; as many as a screen shows, and as a
/// monitoring system bears as labels.
pub const ROWS_MAX: usize = 15;

/// The states of connections, as labels: PostgreSQL's, with what is rare or not seen by a word of its own.
pub const STATES: [&str; 5] = ["active", "idle", "idle in transaction", "other", "unseen"];

fn state_word(state: Option<&str>) -> &'static str {
    let [active, idle, idle_in_transaction, other, unseen] = STATES;
    match state {
        Some("active") => active,
        Some("idle") => idle,
        Some(state) if state.starts_with("idle in transaction") => idle_in_transaction,
        Some(_) => other,
        None => unseen,
    }
}

fn most<T: Counted>(rows: impl Iterator<Item = T>) -> Vec<T> {
    let mut rows: Vec<T> = rows.collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.count()));
    rows.truncate(ROWS_MAX);
    rows
}

fn longer(longest: &mut BTreeMap<Origin, f64>, origin: Origin, seconds: Option<f64>) {
    let entry = longest.entry(origin).or_default();
    *entry = entry.max(seconds.unwrap_or(0.0));
}

fn of_each_origin(of: &BTreeMap<Origin, f64>) -> BTreeMap<String, f64> {
    let each = Origin::ALL
        .map(|origin| (origin.as_str().to_owned(), of.get(&origin).copied().unwrap_or(0.0)));
    each.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(pid: u32, origin: Origin, user: &str, state: Option<&str>) -> Backend {
        Backend {
            pid,
            origin,
            user: user.to_owned(),
            state: state.map(str::to_owned),
            state_seconds: state.map(|_| f64::from(pid)),
            transaction_seconds: state.map(|_| f64::from(pid) * 2.0),
            ..Backend::default()
        }
    }

    #[test]
    fn whose_a_connection_is_follows_from_its_role_and_name() {
        let cases = [
            ("authenticator", "PostgREST 12.2.3", Origin::Platform),
            ("supabase_storage_admin", "", Origin::Platform),
            ("rdsadmin", "", Origin::Platform),
            ("postgres", "Supavisor (auth_query)", Origin::OtherPooler),
            ("app", "pgbouncer", Origin::OtherPooler),
            ("postgres", "pg_dump", Origin::Migration),
            ("app", "alembic", Origin::Migration),
            ("app", "psql", Origin::Direct),
            ("app", "", Origin::Direct),
            ("", "", Origin::Unknown),
        ];
        for (role, application, origin) in cases {
            assert_eq!(Origin::of(role, application), origin, "{role} {application}");
        }
    }

    #[test]
    fn the_counts_are_all_connections_and_what_is_not_seen_is_counted_all_the_same() {
        let mut waits = backend(5, Origin::Own, "app", Some("active"));
        waits.blocked_by = vec![3];
        let ledger = Ledger::new(
            Tick::ZERO,
            false,
            vec![
                waits,
                backend(2, Origin::Own, "app", Some("idle")),
                backend(3, Origin::Direct, "app", Some("idle in transaction (aborted)")),
                backend(4, Origin::Direct, "bob", None),
                backend(1, Origin::Platform, "authenticator", Some("fastpath function call")),
            ],
        );
        assert_eq!(ledger.backends.iter().map(|of| of.pid).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        assert_eq!(ledger.backends[2].blocks, 1);
        let summary = ledger.summary(Tick::ZERO + std::time::Duration::from_secs(3));
        assert_eq!((summary.age_seconds, summary.privileged, summary.blocked), (3.0, false, 1));
        let total: u32 = summary.counts.iter().map(|count| count.count).sum();
        assert_eq!((total, summary.counts.len()), (5, Origin::ALL.len() * STATES.len()));
        let found = |origin, state: &str| {
            let mut all = summary.counts.iter();
            all.find(|count| count.origin == origin && count.state == state).expect("one").count
        };
        assert_eq!(found(Origin::Direct, "idle in transaction"), 1);
        assert_eq!(found(Origin::Direct, "unseen"), 1);
        assert_eq!(found(Origin::Platform, "other"), 1);
        assert_eq!(summary.roles[0], Role { role: "app".to_owned(), count: 3 });
        assert_eq!(summary.others.len(), 3);
        assert_eq!(summary.oldest_idle_in_transaction_seconds["direct"], 3.0);
        assert_eq!(summary.oldest_transaction_seconds["self"], 10.0);
        assert_eq!(summary.oldest_transaction_seconds["other_pooler"], 0.0);
        assert_eq!(serde_json::to_value(Origin::Own).expect("JSON"), "self");
    }

    #[test]
    fn no_more_rows_are_told_than_a_screen_shows() {
        let users: Vec<String> = (0..40).map(|number| format!("role{number}")).collect();
        let all = users.iter().zip(1..);
        let all = all.map(|(user, pid)| backend(pid, Origin::Direct, user, None));
        let summary = Ledger::new(Tick::ZERO, true, all.collect()).summary(Tick::ZERO);
        assert_eq!((summary.roles.len(), summary.others.len()), (ROWS_MAX, ROWS_MAX));
    }
}
