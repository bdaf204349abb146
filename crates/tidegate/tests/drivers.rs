//! The drivers that people use, with their defaults, through both ports, in clear and over TLS:
//! each runs the same script directly and through the gate, and what it prints must be the same.

#[path = "drivers/tokio_postgres.rs"]
mod tokio_postgres_driver;
#[path = "drivers/secured.rs"]
mod secured;

use std::fmt::Debug;
use std::path::PathBuf;

use tidegate_scratch::{Cluster, ClusterOptions};
use tidegate_testkit::certificates::{self, Authority, Folder, Issued, listen_flags};
use tidegate_testkit::gate::Gate;
use tidegate_testkit::scene::{APP, cluster};
use tidegate_testkit::{node, python, wait};

const GATE: &str = env!("CARGO_BIN_EXE_tidegate");

/// A PostgreSQL that offers TLS and wants passwords, as in production: drivers must get through
/// the login as well.
struct Stage {
    cluster: Cluster,
    issued: Issued,
    /// Where the authority is that has signed for PostgreSQL and for the gate.
    authority: PathBuf,
    folder: Folder,
}

/// How a driver comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channel {
    Clear,
    Tls,
}

impl Stage {
    fn set() -> Self {
        let (authority, folder) = (Authority::new("of the drivers"), Folder::default());
        let issued = authority.issue(&["127.0.0.1"]);
        let cluster = cluster(certificates::secured(ClusterOptions::default(), &issued));
        let authority = folder.file("ca.crt", &authority.pem);
        Self { cluster, issued, authority, folder }
    }

    /// A gate that has heard of no TLS, so that drivers that would like it do without; or one that
    /// speaks it on both sides.
    fn gate(&self, channel: Channel) -> Gate {
        let url = self.cluster.url(APP, "secret", APP);
        let (sslmode, flags) = match channel {
            Channel::Clear => ("disable", Vec::new()),
            Channel::Tls => ("require", listen_flags(&self.folder, "require", &self.issued)),
        };
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        Gate::start(GATE, &format!("{url}?sslmode={sslmode}"), "plan = \"free\"", &flags)
    }

    fn until(&self, backends: &str, count: &str) {
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE {backends}");
        wait::until(&format!("{backends}: {count}"), || {
            (self.cluster.sql(&sql).expect("it is right") == count).then_some(())
        });
    }

    /// Calls `run` for PostgreSQL and for each port of each gate, twice for those of the first:
    /// the second run finds servers that others have used. What it gives must be the same.
    fn compare<T: PartialEq + Debug>(&self, run: impl Fn(u16, Channel) -> T) -> T {
        let fresh = |port, channel| {
            let sql = "DROP TABLE IF EXISTS t, parent CASCADE";
            self.cluster.sql_in(APP, sql).expect("dropped");
            run(port, channel)
        };
        let expected = fresh(self.cluster.port(), Channel::Clear);
        for (channel, runs) in [(Channel::Clear, 2), (Channel::Tls, 1)] {
            // What is left of others would take of the budget of this one.
            self.until("usename = 'app'", "0");
            let gate = self.gate(channel);
            for (port, name) in [(gate.session, "session"), (gate.transaction, "transaction")] {
                for nth in 1..=runs {
                    let seen = fresh(port, channel);
                    assert_eq!(seen, expected, "{name} port, {channel:?}, run {nth}");
                }
            }
            assert_shared(&gate);
            // Whatever the drivers left behind, servers are at rest.
            self.until("usename = 'app' AND state <> 'idle'", "0");
        }
        expected
    }
}

/// The transaction port has lent servers out for transactions rather than for connections, and no
/// statement's name has kept one.
fn assert_shared(gate: &Gate) {
    let port = "listener=\"transaction\"";
    assert_eq!(gate.metric("tidegate_pins_total", &[port, "reason=\"prepared\""]), 0.0);
    let clients = gate.metric("tidegate_client_connections_opened_total", &[port]);
    let leases = gate.metric("tidegate_checkouts_total", &[port, "outcome=\"ok\""]);
    assert!(leases > 2.0 * clients, "{clients} clients had {leases} leases");
    let parses = gate.metric("tidegate_prepared_parses_total", &[]);
    let hits = gate.metric("tidegate_prepared_cache_hits_total", &[]);
    assert!(parses > 0.0 && hits > 0.0, "{parses} parses, {hits} hits");
}

/// How a Python driver is told to speak TLS, where that is not what it does by itself.
fn url(scheme: &str, tls: &str, port: u16, channel: Channel) -> String {
    let query = if channel == Channel::Tls { tls } else { "" };
    format!("{scheme}://{APP}:secret@127.0.0.1:{port}/{APP}{query}")
}

fn compare_python(script: &str, (scheme, tls): (&str, &str), arguments: &[&str]) {
    let stage = Stage::set();
    let printed = stage.compare(|port, channel| {
        let url = url(scheme, tls, port, channel);
        python::run(script, &[&[url.as_str()], arguments].concat())
    });
    assert!(printed.ends_with("done\n"), "{printed}");
}

/// libpq's way, which asyncpg follows.
const DRIVER: (&str, &str) = ("postgresql", "?sslmode=require");
const SQLALCHEMY_PSYCOPG: (&str, &str) = ("postgresql+psycopg", "?sslmode=require");
const SQLALCHEMY_ASYNCPG: (&str, &str) = ("postgresql+asyncpg", "?ssl=require");

// --- psycopg. ---

#[test]
fn psycopg() {
    let script = include_str!("../../../drivers/psycopg_sync.py");
    compare_python(script, DRIVER, &[]);
}

#[test]
fn psycopg_async() {
    let script = include_str!("../../../drivers/psycopg_async.py");
    compare_python(script, DRIVER, &[]);
}

const PSYCOPG_PREPARE: &str = include_str!("../../../drivers/psycopg_prepare.py");

#[test]
fn psycopg_that_names_every_statement() {
    compare_python(PSYCOPG_PREPARE, DRIVER, &["0"]);
}

#[test]
fn psycopg_that_names_no_statement() {
    compare_python(PSYCOPG_PREPARE, DRIVER, &["None"]);
}

// --- asyncpg. ---

#[test]
fn asyncpg() {
    let script = include_str!("../../../drivers/asyncpg_defaults.py");
    compare_python(script, DRIVER, &[]);
}

#[test]
fn asyncpg_that_keeps_closes_and_prepares_anew() {
    let script = include_str!("../../../drivers/asyncpg_statements.py");
    compare_python(script, DRIVER, &[]);
}

/// As people are told to configure it behind a pooler.
#[test]
fn asyncpg_without_named_statements() {
    let script = include_str!("../../../drivers/asyncpg_unnamed.py");
    compare_python(script, DRIVER, &[]);
}

// --- SQLAlchemy. ---

#[test]
fn sqlalchemy_with_psycopg() {
    let script = include_str!("../../../drivers/sqlalchemy_sync.py");
    compare_python(script, SQLALCHEMY_PSYCOPG, &[]);
}

#[test]
fn sqlalchemy_with_asyncpg() {
    let script = include_str!("../../../drivers/sqlalchemy_async.py");
    compare_python(script, SQLALCHEMY_ASYNCPG, &[]);
}

#[test]
fn sqlalchemy_with_asyncpg_and_no_settings_at_all() {
    let script = include_str!("../../../drivers/sqlalchemy_defaults.py");
    compare_python(script, SQLALCHEMY_ASYNCPG, &[]);
}

// --- node-postgres. ---

#[test]
fn node_postgres() {
    let script = include_str!("../../../drivers/pg.js");
    let stage = Stage::set();
    let printed = stage.compare(|port, channel| {
        let mode = if channel == Channel::Tls { "tls" } else { "clear" };
        node::run(script, &[&url("postgresql", "", port, Channel::Clear), mode])
    });
    assert!(printed.ends_with("done\n"), "{printed}");
}

// --- tokio-postgres. ---

#[test]
fn tokio_postgres() {
    let stage = Stage::set();
    stage.compare(|port, channel| {
        let authority = (channel == Channel::Tls).then_some(stage.authority.as_path());
        // With its runtime each ends the connections that it has made.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        runtime.block_on(tokio_postgres_driver::transcript(port, authority))
    });
}

// --- A schema that changes. ---

/// PostgreSQL refuses a statement whose columns have changed since it was parsed; asyncpg then
/// parses it anew, and all is well.
#[test]
fn asyncpg_gets_over_a_changed_table() {
    let stage = Stage::set();
    let gate = stage.gate(Channel::Clear);
    let run = |port| {
        stage.cluster.sql_in(APP, "DROP TABLE IF EXISTS t").expect("dropped");
        let script = include_str!("../../../drivers/asyncpg_changed_table.py");
        python::run(script, &[&url("postgresql", "", port, Channel::Clear)])
    };
    let direct = run(stage.cluster.port());
    assert_eq!(direct, ["(1,)\n".repeat(3), "(1, 2)\n".repeat(3)].concat());
    for port in [gate.session, gate.transaction] {
        assert_eq!(run(port), direct);
    }
}

// --- What is not as it should be yet. ---

/// For the query that describes a type, asyncpg switches `jit` off and on again by `set_config`.
#[test]
fn asyncpg_looks_up_types_and_keeps_no_server() {
    let stage = Stage::set();
    let gate = stage.gate(Channel::Clear);
    let run = |port| {
        stage.cluster.sql_in(APP, "DROP TABLE IF EXISTS t").expect("dropped");
        let script = include_str!("../../../drivers/asyncpg_enum.py");
        python::run(script, &[&url("postgresql", "", port, Channel::Clear)])
    };
    let direct = run(stage.cluster.port());
    for port in [gate.session, gate.transaction] {
        assert_eq!(run(port), direct);
    }
    let pins = |reason| {
        gate.metric("tidegate_pins_total", &["listener=\"transaction\"", &format!("\"{reason}\"")])
    };
    assert_eq!((pins("set"), pins("prepared")), (0.0, 0.0));
}
