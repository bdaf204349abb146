//! Several hosts in the URL: the first that will do is used, and clients follow when another is.

use std::net::TcpListener;
use std::time::Duration;

use tidegate_scratch::{Cluster, ClusterOptions, StopMode};
use tidegate_testkit::gate::Gate;
use tidegate_testkit::raw::Raw;
use tidegate_testkit::scene::{APP, cluster};
use tidegate_testkit::wait;

const BINARY: &str = env!("CARGO_BIN_EXE_tidegate");
const HBA: &str = "local replication all trust\nlocal all all trust\n\
                   host all all 127.0.0.1/32 trust\n";

/// Retries as quick as a test wants them.
const QUICK: &str = "[retry]\nmultiplier = \"100ms\"\nmin = \"100ms\"\nmax = \"300ms\"\n";

const READ_ONLY: (&str, &str) = ("default_transaction_read_only", "on");

/// Where a client's server is.
const WHERE: &str = "SELECT inet_server_port()";

fn options() -> ClusterOptions {
    ClusterOptions::default().hba(HBA)
}

fn gate(ports: &[u16], target: &str, settings: &str) -> Gate {
    let hosts: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let url = format!("postgres://{APP}@{}/{APP}?target_session_attrs={target}", hosts.join(","));
    let mut gate = Gate::start(BINARY, &url, settings, &[]);
    gate.allow("can't open a server").allow("the census can't connect");
    gate.allow("the census lost its connection");
    gate
}

fn client(port: u16) -> Raw {
    Raw::log_in(port, APP, "", APP)
}

/// A PostgreSQL that only reads unless it is told otherwise; its role is made before.
fn read_only() -> Cluster {
    let mut read_only = cluster(options());
    set_read_only(&read_only, "on");
    read_only.restart(StopMode::Fast).expect("it restarts");
    read_only
}

fn set_read_only(cluster: &Cluster, value: &str) {
    cluster.sql(&format!("ALTER SYSTEM SET {} = {value}", READ_ONLY.0)).expect("it is set");
    cluster.sql("SELECT pg_reload_conf()").expect("it is read");
}

/// A port at which nobody listens.
fn nobody() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("it has an address").port()
}

/// Waits until the census is at this host.
fn until_census(cluster: &Cluster) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tidegate census'";
    wait::until("the census is there", || {
        (cluster.sql(sql).expect("an answer").trim() == "1").then_some(())
    });
}

#[test]
fn a_host_that_is_down_is_passed_over_at_once() {
    let up = cluster(options());
    // With the pauses of the defaults, two seconds and more.
    let gate = gate(&[nobody(), up.port()], "any", "");
    for port in [gate.session, gate.transaction] {
        let (took, mut client) = wait::timed(|| client(port));
        assert_eq!(client.value(WHERE), up.port().to_string());
        assert!(took < Duration::from_millis(1500), "it took {took:?}");
    }
    until_census(&up);
    assert!(!gate.has_logged("can't open a server: "), "that is no failure of the upstream");
}

#[test]
fn a_host_that_is_named_twice_and_down_is_waited_for() {
    let down = nobody();
    let settings = format!("[pool]\npool_timeout = \"1s\"\n{QUICK}");
    let gate = gate(&[down, down], "any", &settings);
    let login = [("user", APP), ("database", APP)];
    let error = Raw::connect(gate.transaction).try_log_in(&login, "").expect_err("there is none");
    assert_eq!(error.sqlstate(), "08001", "it has failed, and is not dialed on and on");
    let detail = error.field(b'D');
    assert!(detail.contains(&format!("127.0.0.1:{down}: connection refused")), "{detail}");
}

#[test]
fn a_host_that_only_reads_is_passed_over_where_writes_are_asked_for() {
    let (read_only, writes) = (read_only(), cluster(options()));
    let ports = [read_only.port(), writes.port()];
    for (target, expected) in [
        ("any", &read_only),
        ("read-only", &read_only),
        ("read-write", &writes),
        ("primary", &read_only), // As in libpq: it is no standby.
    ] {
        let gate = gate(&ports, target, "");
        for port in [gate.session, gate.transaction] {
            assert_eq!(client(port).value(WHERE), expected.port().to_string(), "{target}");
        }
        until_census(expected);
        // Its own transactions may say that they only read.
        let mut client = client(gate.transaction);
        client.run("BEGIN READ ONLY; SELECT 1; COMMIT");
        client.run("SET default_transaction_read_only = on");
        assert_eq!(client.failure("CREATE TABLE t (a int)"), "25006");
        assert_eq!(client.value(WHERE), expected.port().to_string(), "{target}");
        assert_eq!(gate.metric("tidegate_server_connections_closed_total", &["\"moved\""]), 0.0);
    }
}

#[test]
fn where_no_host_will_do_the_error_names_each_with_its_cause() {
    let (read_only, down) = (read_only(), nobody());
    let settings = format!("[pool]\npool_timeout = \"1s\"\n{QUICK}");
    let gate = gate(&[read_only.port(), down], "read-write", &settings);
    for port in [gate.session, gate.transaction] {
        let login = [("user", APP), ("database", APP)];
        let error = Raw::connect(port).try_log_in(&login, "").expect_err("there is none");
        assert_eq!(error.sqlstate(), "08001");
        let detail = error.field(b'D');
        let misfit = format!(
            "127.0.0.1:{}: default_transaction_read_only is on, and target_session_attrs is \
             read-write",
            read_only.port()
        );
        assert!(detail.contains(&misfit), "{detail}");
        assert!(detail.contains(&format!("127.0.0.1:{down}: connection refused")), "{detail}");
        assert!(error.field(b'H').ends_with("(TG002)"), "{error:?}");
    }
    // It will do as soon as it does.
    set_read_only(&read_only, "off");
    assert_eq!(client(gate.transaction).value(WHERE), read_only.port().to_string());
}

#[test]
fn a_host_that_stops_taking_writes_is_left() {
    let (first, second) = (cluster(options()), cluster(options()));
    for host in [&first, &second] {
        host.sql_in(APP, "CREATE TABLE ledger (line text)").expect("a table");
        host.sql_in(APP, "GRANT ALL ON ledger TO app").expect("a right");
    }
    let ports = [first.port(), second.port()];
    let mut gate = gate(&ports, "read-write", QUICK);
    gate.allow("a host is of no use any more");
    let mut clients: Vec<_> = (0..4).map(|_| client(gate.transaction)).collect();
    for client in &mut clients {
        client.begin();
    }
    for client in &mut clients {
        assert_eq!(client.value(WHERE), first.port().to_string());
        client.run("COMMIT");
    }
    let mut in_session = client(gate.session);
    assert_eq!(in_session.value(WHERE), first.port().to_string());

    set_read_only(&first, "on");
    // The first that wants to write is told; with its answer comes what has changed.
    wait::until("it is refused", || {
        clients[0].query("INSERT INTO ledger VALUES ('refused')");
        let frames = clients[0].until_ready();
        let error = frames.iter().find(|frame| frame.tag == b'E')?;
        (error.sqlstate() == "25006").then_some(())
    });
    for (place, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.value(WHERE), second.port().to_string(), "client {place}");
        client.run("INSERT INTO ledger VALUES ('taken')");
    }
    until_census(&second);
    let closed = || gate.metric("tidegate_server_connections_closed_total", &["\"moved\""]);
    assert!(closed() >= 3.0, "the others of that host were closed: {}", closed());
    // Who has a server keeps it.
    assert_eq!(in_session.value(WHERE), first.port().to_string());
    in_session.leave();
    assert_eq!(client(gate.session).value(WHERE), second.port().to_string());
    // A cancel goes to the host of its server.
    clients[0].query("SELECT pg_sleep(60)");
    let running = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    wait::until("it runs", || {
        (second.sql(running).expect("an answer").trim() == "1").then_some(())
    });
    clients[0].cancel(gate.transaction);
    let frames = clients[0].until_ready();
    let error = frames.iter().find(|frame| frame.tag == b'E').expect("it is cancelled");
    assert_eq!(error.sqlstate(), "57014");
}

#[test]
fn clients_wait_for_a_standby_to_be_promoted_and_are_served_by_it() {
    let options = || options().setting("wal_level", "replica").setting("max_wal_senders", "4");
    let mut primary = cluster(options());
    primary.sql_in(APP, "CREATE TABLE ledger (line text)").expect("a table");
    primary.sql_in(APP, "GRANT ALL ON ledger TO app").expect("a right");
    let standby = Cluster::standby(&primary, options()).expect("a standby");
    let ports = [standby.port(), primary.port()];
    let gate = gate(&ports, "read-write", &format!("[pool]\npool_timeout = \"25s\"\n{QUICK}"));

    let mut clients: Vec<_> = (0..4).map(|_| client(gate.transaction)).collect();
    for (place, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.value(WHERE), primary.port().to_string());
        client.run(&format!("INSERT INTO ledger VALUES ('before {place}')"));
    }
    // All of it must have arrived before the primary goes.
    wait::until("the standby has it all", || {
        let count = standby.sql_in(APP, "SELECT count(*) FROM ledger").expect("an answer");
        (count.trim() == "4").then_some(())
    });
    primary.stop(StopMode::Immediate).expect("it stops");
    for (place, client) in clients.iter_mut().enumerate() {
        client.query(&format!("INSERT INTO ledger VALUES ('after {place}')"));
    }
    wait::until("they wait", || {
        (gate.metric("tidegate_checkout_queue_length", &[]) == 4.0).then_some(())
    });
    standby.sql("SELECT pg_promote()").expect("it is promoted");
    for client in &mut clients {
        assert_eq!(client.tags(), "CZI");
        assert_eq!(client.value(WHERE), standby.port().to_string());
    }
    let count = standby.sql_in(APP, "SELECT count(DISTINCT line), count(*) FROM ledger");
    assert_eq!(count.expect("an answer").trim(), "8|8");
    until_census(&standby);

    // What comes back as it was is not gone back to.
    primary.start_again().expect("it starts");
    assert_eq!(client(gate.session).value(WHERE), standby.port().to_string());
}

#[test]
fn whoever_asks_for_what_is_not_there_moves_nobody() {
    let (first, second) = (cluster(options()), cluster(options()));
    let gate = gate(&[first.port(), second.port()], "read-write", QUICK);
    let mut others: Vec<_> = (0..4).map(|_| client(gate.transaction)).collect();
    for (number, other) in others.iter_mut().enumerate() {
        // A database of its own each time: what is refused is remembered for each.
        let missing = format!("missing_{number}");
        for port in [gate.session, gate.transaction] {
            let login = [("user", APP), ("database", &missing)];
            let error = Raw::connect(port).try_log_in(&login, "").expect_err("there is none");
            assert_eq!(error.sqlstate(), "3D000");
        }
        // The next server is where the last was.
        other.begin();
        assert_eq!(other.value(WHERE), first.port().to_string());
    }
    others.iter_mut().for_each(|other| other.run("COMMIT"));
    until_census(&first);
    assert_eq!(gate.metric("tidegate_server_connections_closed_total", &["\"moved\""]), 0.0);
    assert!(!gate.has_logged("the upstream is at"), "nothing has moved");
}

#[test]
fn a_host_that_is_full_is_waited_for_by_the_census_too() {
    let (first, second) = (cluster(options()), cluster(options()));
    first.sql("ALTER ROLE app CONNECTION LIMIT 0").expect("a limit");
    let gate = gate(&[first.port(), second.port()], "any", QUICK);
    gate.until_logged("the census can't connect: too many connections for role");
    first.sql("ALTER ROLE app CONNECTION LIMIT -1").expect("no limit");
    until_census(&first);
    assert_eq!(client(gate.transaction).value(WHERE), first.port().to_string());
}
