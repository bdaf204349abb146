//! A PostgreSQL, a gate in front of it, and the ways in which a script gets there.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use tidegate_scratch::{Cluster, ClusterOptions, Installation};
use tidegate_testkit::gate::Gate;
use tidegate_testkit::raw::{Frame, Raw};
use tidegate_testkit::wait;

use crate::noise::{Noise, SERVERS};

const GATE: &str = env!("CARGO_BIN_EXE_tidegate");

/// How a script gets to PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Direct,
    /// Through the session port.
    Session,
    /// Through the transaction port.
    Transaction,
}

impl Route {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Session => "session port",
            Self::Transaction => "transaction port",
        }
    }
}

/// Everything that a topic needs; scripts follow one another on it, so each finds the gate's
/// servers as others have left them.
pub(crate) struct Stage {
    noise: Noise,
    gate: Gate,
    superuser: Raw,
    cluster: Cluster,
}

/// So many connections a script may have: each may hold a server, and one is left for the noise.
pub(crate) const SESSIONS_MAX: usize = SERVERS - 1;

const ROLE: &str = "app";

/// As many servers as the noise can use.
const SETTINGS: &str = "plan = \"free\"\n[pool]\npool_size = 4\nmax_overflow = 0\npins_max = 4\n";

/// Passwords are no part of this.
const HBA: &str = "local all all trust\nhost all all 127.0.0.1/32 trust\n";

impl Stage {
    /// # Panics
    /// When PostgreSQL or the gate does not start.
    pub(crate) fn start() -> Self {
        let postgres = installation();
        let options = ClusterOptions::default().hba(HBA).setting("max_prepared_transactions", "5");
        let cluster = Cluster::start(&postgres, options);
        let cluster = cluster.unwrap_or_else(|error| panic!("{error}"));
        // Scripts make roles, and become them.
        let mut first = Raw::log_in(cluster.port(), cluster.superuser(), "", "postgres");
        first.run(&format!("CREATE ROLE {ROLE} LOGIN SUPERUSER"));
        first.run(&format!("CREATE DATABASE {ROLE} OWNER {ROLE}"));
        first.leave();
        let mut superuser = Raw::log_in(cluster.port(), cluster.superuser(), "", ROLE);
        superuser.run("SET client_min_messages = warning");
        let url = format!("postgres://{ROLE}@127.0.0.1:{}/{ROLE}", cluster.port());
        let gate = Gate::start(GATE, &url, SETTINGS, &[]);
        let noise =
            Noise::start(gate.transaction, |parameters| client(gate.transaction, parameters));
        let mut stage = Self { noise, gate, superuser, cluster };
        stage.stir(1); // Opens all servers.
        stage
    }

    /// The major version of PostgreSQL.
    pub(crate) fn version(&self) -> u32 {
        self.cluster.installation().version.0
    }

    /// A new connection.
    pub(crate) fn client(&self, route: Route, parameters: &[(&str, &str)]) -> Raw {
        let port = match route {
            Route::Direct => self.cluster.port(),
            Route::Session => self.gate.session,
            Route::Transaction => self.gate.transaction,
        };
        client(port, parameters)
    }

    /// See [`Noise::stir`].
    pub(crate) fn stir(&mut self, sessions: usize) {
        self.noise.stir(sessions);
    }

    /// Which backend serves each of so many statements, with noise between them.
    pub(crate) fn backends(&mut self, statements: usize) -> Vec<String> {
        let mut raw = self.client(Route::Transaction, &[]);
        let mut backend = || {
            self.stir(1);
            raw.backend()
        };
        (0..statements).map(|_| backend()).collect()
    }

    /// Removes what the last script has made.
    pub(crate) fn clean(&mut self) {
        for gid in self.column("SELECT quote_literal(gid) FROM pg_prepared_xacts") {
            self.superuser.run(&format!("ROLLBACK PREPARED {gid}"));
        }
        self.superuser.run(CLEAN);
    }

    /// Waits until so many statements wait for a lock.
    pub(crate) fn until_blocked(&mut self, count: usize) {
        let sql = "SELECT count(*) FROM pg_locks WHERE NOT granted";
        wait::until("a statement waits for a lock", || {
            (self.superuser.value(sql) == count.to_string()).then_some(())
        });
    }

    /// Waits until nothing is left of a script whose clients have gone: in PostgreSQL locks,
    /// temporary tables, and whatever else would meet the next; in the gate servers that it is
    /// still putting right, so that the next script finds the same pile of servers each time.
    ///
    /// # Errors
    /// What is still there after a while.
    pub(crate) fn until_gone(&mut self) -> Result<(), Vec<String>> {
        let mut left = Vec::new();
        let (superuser, gate) = (&mut self.superuser, &self.gate);
        let gone = tidegate_scratch::wait::until(GONE_MAX, LOOK_EVERY, || {
            left = column(superuser, LEFT);
            left.extend(busy(gate));
            Ok::<_, Infallible>(left.is_empty().then_some(()))
        });
        let Ok(gone) = gone;
        gone.ok_or(left)
    }

    fn column(&mut self, sql: &str) -> Vec<String> {
        column(&mut self.superuser, sql)
    }
}

/// The first column of all rows.
fn column(raw: &mut Raw, sql: &str) -> Vec<String> {
    raw.query(sql);
    let frames = raw.until_ready();
    if let Some(error) = frames.iter().find(|frame| frame.tag == b'E') {
        panic!("{sql}: {} {}", error.sqlstate(), error.field(b'M'));
    }
    let value = |row: &Frame| String::from_utf8_lossy(&row.body[6..]).into_owned();
    frames.iter().filter(|frame| frame.tag == b'D').map(value).collect()
}

/// Servers of the gate that are not idle, by state.
fn busy(gate: &Gate) -> Vec<String> {
    let (_, metrics) = gate.get("/metrics");
    let servers = metrics.lines().filter(|line| line.starts_with("tidegate_server_connections{"));
    let busy = servers.filter(|line| !line.contains("state=\"idle\"") && !line.ends_with(" 0"));
    busy.map(str::to_owned).collect()
}

fn client(port: u16, parameters: &[(&str, &str)]) -> Raw {
    let mut raw = Raw::connect(port);
    let all = [&[("user", ROLE), ("database", ROLE)], parameters].concat();
    if let Err(error) = raw.try_log_in(&all, "") {
        panic!("refused: {} {}", error.sqlstate(), error.field(b'M'));
    }
    raw
}

/// The programs in the folder that `TIDEGATE_PG_BIN` names; otherwise PostgreSQL 15 if it is
/// installed, or the newest.
fn installation() -> Installation {
    let found = match std::env::var_os("TIDEGATE_PG_BIN") {
        Some(bin) => Installation::at(PathBuf::from(bin)),
        None => Installation::find_version(15).or_else(|_| Installation::find()),
    };
    found.unwrap_or_else(|error| panic!("{error}"))
}

/// A gate gives up on a server after ten seconds.
const GONE_MAX: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// In the script's database only: the census of the gate looks from elsewhere.
const LEFT: &str = "\
SELECT format('%s lock %s of pid %s', locktype, mode, pid) FROM pg_locks
WHERE pid <> pg_backend_pid() AND locktype IN ('advisory', 'relation', 'tuple', 'object')
UNION ALL
SELECT 'temporary ' || relname FROM pg_class WHERE relpersistence = 't'
UNION ALL
SELECT format('transaction of pid %s: %s', pid, query) FROM pg_stat_activity
WHERE usename = 'app' AND state <> 'idle' AND xact_start IS NOT NULL AND state <> 'active'";

const CLEAN: &str = "\
DO $$
DECLARE
  name text;
BEGIN
  FOR name IN SELECT quote_ident(nspname) FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
  LOOP
    EXECUTE 'DROP SCHEMA ' || name || ' CASCADE';
  END LOOP;
  PERFORM lo_unlink(oid) FROM pg_largeobject_metadata;
  FOR name IN SELECT quote_ident(rolname) FROM pg_roles
    WHERE rolname !~ '^pg_' AND rolname NOT IN ('postgres', 'app')
  LOOP
    EXECUTE 'DROP OWNED BY ' || name || ' CASCADE';
    EXECUTE 'DROP ROLE ' || name;
  END LOOP;
  CREATE SCHEMA public AUTHORIZATION app;
  GRANT USAGE ON SCHEMA public TO PUBLIC;
END
$$";
