//! TLS under load: large results, many logins, many clients. None of it grows the gate beyond its
//! bounds, and none of it stops anybody else.

use tidegate_scratch::{Cluster, ClusterOptions};
use tidegate_testkit::certificates::{Authority, Folder, listen_flags, secured};
use tidegate_testkit::gate::Gate;
use tidegate_testkit::python::Script;
use tidegate_testkit::raw::Raw;
use tidegate_testkit::scene::{APP, cluster};
use tidegate_testkit::wait;

const BINARY: &str = env!("CARGO_BIN_EXE_tidegate");
const MIB: u64 = 1024 * 1024;

/// What the gate may grow by while a hundred megabytes pass; as without TLS.
const GROWTH_MAX: u64 = 4 * MIB;

/// Resident memory of the gate per idle client with TLS: what one in clear needs, and half of it is
/// what rustls keeps of a connection.
const BYTES_PER_CLIENT_MAX: u64 = 8 * 1024;

const CLIENTS: u64 = 1000;

/// A gate between TLS on both sides; who is at the same machine may come in clear.
struct Stage {
    gate: Gate,
    _folder: Folder,
    cluster: Cluster,
}

impl Stage {
    fn start(more: &[&str]) -> Self {
        let folder = Folder::default();
        let ours = Authority::new("ours");
        let issued = ours.issue(&["localhost"]);
        let hba = "hostssl all all samehost scram-sha-256";
        let options = secured(ClusterOptions::default().listen_addresses("localhost"), &issued);
        let cluster = cluster(options.hba(hba));
        let root = folder.file("root.crt", &ours.pem);
        let url = format!(
            "postgres://{APP}:secret@localhost:{}/{APP}?sslmode=verify-full&sslrootcert={}",
            cluster.port(),
            root.display()
        );
        let flags = listen_flags(&folder, "allow", &issued);
        let flags: Vec<&str> =
            flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let gate = Gate::start(BINARY, &url, "", &flags);
        Self { gate, _folder: folder, cluster }
    }

    fn conninfo(&self, port: u16) -> String {
        format!(
            "host=127.0.0.1 port={port} user={APP} password=secret dbname={APP} sslmode=require"
        )
    }

    /// Waits until a metric of the network has stood still for a while.
    fn until_still(&self, labels: &[&str]) -> u64 {
        wait::until_still("everything on the way is full", || {
            let now = self.gate.metric("tidegate_network_bytes_total", labels) as u64;
            Some(now).filter(|now| *now > MIB / 4)
        })
    }
}

const STREAMS: &str = r#"
import sys
import psycopg

connection = psycopg.connect(sys.argv[1], autocommit=True, prepare_threshold=None)
connection.execute("SELECT repeat('x', 300000)").fetchone()
print("warm")
sys.stdin.readline()

cursor = connection.cursor()
with cursor.copy("COPY (SELECT repeat('x', 1048575) FROM generate_series(1, 100)) TO STDOUT") as copy:
    total = len(copy.read())
    print("reading")
    sys.stdin.readline()
    for block in copy:
        total += len(block)
print(total)

sys.stdin.readline()
with cursor.copy("COPY sink FROM STDIN WHERE wait_once()") as copy:
    for _ in range(100):
        copy.write(b"x" * 1048575 + b"\n")
print("written")
print(connection.execute("SELECT 42").fetchone()[0])
"#;

#[test]
fn a_hundred_megabytes_each_way_pass_in_constant_memory_while_nobody_reads() {
    let stage = Stage::start(&[]);
    // The first row waits for a lock that the test holds: PostgreSQL does not read meanwhile.
    stage
        .cluster
        .sql_in(
            APP,
            "CREATE TABLE sink (line text); GRANT ALL ON sink TO app; \
             CREATE FUNCTION wait_once() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM pg_advisory_xact_lock_shared(7); RETURN false; END $$",
        )
        .expect("a table and a function");
    for port in [stage.gate.session, stage.gate.transaction] {
        let mut script = Script::start(STREAMS, &[&stage.conninfo(port)]);
        assert_eq!(script.hear(), "warm");
        let mut bystander = Raw::log_in(port, APP, "secret", APP);
        assert_eq!(bystander.value("SELECT 42"), "42");
        let before = stage.gate.resident_bytes();
        let grew = |when: &str| {
            let growth = stage.gate.resident_bytes().saturating_sub(before);
            println!("{when}: grew by {growth} bytes");
            assert!(growth < GROWTH_MAX, "{when}: the gate grew by {growth} bytes");
        };

        // libpq would find the end of it only every other time, were records to clients longer than
        // PostgreSQL's own.
        script.say("read");
        assert_eq!(script.hear(), "reading");
        let had = stage.until_still(&["server", "rx"]);
        grew("while nobody reads");
        assert_eq!(bystander.value("SELECT 42"), "42");
        let total = script.ask("read on");
        assert_eq!(total, (100 * MIB).to_string());
        let passed = stage.gate.metric("tidegate_network_bytes_total", &["server", "rx"]) as u64;
        assert!(passed - had > 50 * MIB, "most of it was held back: {had} of {passed}");
        grew("when all was read");

        let mut holder = Raw::log_in(port, APP, "secret", APP);
        holder.begin();
        holder.run("SELECT pg_advisory_xact_lock(7)");
        script.say("write");
        let had = stage.until_still(&["client", "rx"]);
        grew("while PostgreSQL does not read");
        assert_eq!(bystander.value("SELECT 42"), "42");
        holder.run("COMMIT");
        assert_eq!(script.hear(), "written");
        assert_eq!(script.hear(), "42");
        let passed = stage.gate.metric("tidegate_network_bytes_total", &["client", "rx"]) as u64;
        assert!(passed - had > 50 * MIB, "most of it was held back: {had} of {passed}");
        grew("when all was written");
    }
}

/// So many clients log in with TLS, some at a time, and stay until there is a line.
const LOGINS: &str = r#"
import sys
from concurrent.futures import ThreadPoolExecutor
from psycopg import pq

def log_in(_):
    connection = pq.PGconn.connect(sys.argv[1].encode())
    assert connection.status == pq.ConnStatus.OK, connection.error_message
    assert connection.ssl_in_use
    return connection

print("started")
with ThreadPoolExecutor(int(sys.argv[3])) as pool:
    connections = list(pool.map(log_in, range(int(sys.argv[2]))))
print("done")
for line in sys.stdin:
    for connection in connections:
        result = connection.exec_(line.encode())
        assert result.status == pq.ExecStatus.TUPLES_OK, connection.error_message
    print("asked")
"#;

#[test]
fn who_is_logged_in_is_served_while_two_hundred_shake_hands() {
    let stage = Stage::start(&["listen.workers=2"]);
    for port in [stage.gate.session, stage.gate.transaction] {
        let mut bystander = Raw::log_in(port, APP, "secret", APP);
        assert_eq!(bystander.value("SELECT 42"), "42");
        let script = Script::start(LOGINS, &[&stage.conninfo(port), "200", "50"]);
        assert_eq!(script.hear(), "started");
        let mut served = 0;
        let end = loop {
            assert_eq!(bystander.value("SELECT 42"), "42");
            served += 1;
            if let Some(line) = script.heard() {
                break line;
            }
        };
        assert_eq!(end, "done");
        println!("{served} statements while 200 clients logged in");
        // More than it could be if each handshake, or each turn of logins, were one's own turn.
        assert!(served > 200, "{served} statements while 200 clients logged in");
    }
}

#[test]
fn a_thousand_idle_clients_cost_what_tls_needs_of_each() {
    let stage = Stage::start(&[]);
    let port = stage.gate.transaction;
    let info = stage.conninfo(port);
    let warm = Script::start(LOGINS, &[&info, "20", "4"]);
    assert_eq!((warm.hear().as_str(), warm.hear().as_str()), ("started", "done"));
    drop(warm);
    let clients = || stage.gate.metric("tidegate_client_connections", &[]) as u64;
    wait::until("they have left", || (clients() == 0).then_some(()));
    let before = stage.gate.resident_bytes();
    let count = CLIENTS.to_string();
    let (took, mut script) = wait::timed(|| {
        let script = Script::start(LOGINS, &[&info, &count, "8"]);
        assert_eq!((script.hear().as_str(), script.hear().as_str()), ("started", "done"));
        script
    });
    println!("{CLIENTS} clients have logged in within {took:?}");
    wait::until("all are counted", || (clients() == CLIENTS).then_some(()));
    for when in ["before", "after"] {
        let bytes = stage.gate.resident_bytes().saturating_sub(before) / CLIENTS;
        println!("resident bytes per idle client, {when} its first statement: {bytes}");
        assert!(bytes <= BYTES_PER_CLIENT_MAX, "{bytes} bytes per client");
        assert_eq!(script.ask("SELECT 42"), "asked");
    }
}
