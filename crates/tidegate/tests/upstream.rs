//! What PostgreSQL does to a gate: it is down, refuses, restarts, crashes, fills up. Clients wait,
//! or are told the truth, and go on afterwards.

use std::thread;
use std::time::Duration;

use tidegate_scratch::{Cluster, ClusterOptions, StopMode};
use tidegate_testkit::gate::Gate;
use tidegate_testkit::processes;
use tidegate_testkit::raw::{Frame, Raw};
use tidegate_testkit::scene::{APP, Scene, cluster};
use tidegate_testkit::wait;

const BINARY: &str = env!("CARGO_BIN_EXE_tidegate");
const HBA: &str = "local all all trust\nhost all all 127.0.0.1/32 trust\n";

/// What PostgreSQL says to whom it has no room for. Its log must not hold it, and no client may
/// ever read it.
const REFUSALS: [&str; 3] =
    ["remaining connection slots", "too many clients", "too many connections"];

/// Retries as quick as a test wants them.
const QUICK: &str = "[retry]\nmultiplier = \"100ms\"\nmin = \"100ms\"\nmax = \"300ms\"\n";

/// The servers of the application, the census left out.
const SERVERS: &str = "SELECT count(*) FROM pg_stat_activity \
                       WHERE usename = 'app' AND application_name <> 'tidegate census'";

fn options() -> ClusterOptions {
    ClusterOptions::default().hba(HBA)
}

fn url(cluster: &Cluster) -> String {
    format!("postgres://{APP}@127.0.0.1:{}/{APP}", cluster.port())
}

/// Tries to log in; the error if it is refused.
fn refusal(port: u16, password: &str, database: &str) -> Option<Frame> {
    Raw::connect(port).try_log_in(&[("user", APP), ("database", database)], password).err()
}

/// The error that ends a connection.
fn last_words(raw: &mut Raw) -> Frame {
    let frames = raw.until_end();
    let error = frames.iter().rfind(|frame| frame.tag == b'E');
    error.unwrap_or_else(|| panic!("no error in {frames:?}")).clone()
}

/// The error of a statement after which the client may go on, or which ends its connection.
fn error_of(frames: &[Frame]) -> Frame {
    let error = frames.iter().find(|frame| frame.tag == b'E');
    error.unwrap_or_else(|| panic!("no error in {frames:?}")).clone()
}

fn assert_never_refused(cluster: &Cluster) {
    let log = cluster.log_text();
    for words in REFUSALS {
        assert!(!log.contains(words), "PostgreSQL has refused a connection: {words}");
    }
}

fn allow_outage(gate: &mut Gate) {
    gate.allow("can't open a server").allow("the census can't connect");
    gate.allow("the census lost its connection");
}

// --- It is not there, or does not let us in. ---

#[test]
fn the_first_client_waits_for_a_server_that_is_down_and_is_told_the_cause() {
    let mut cluster = cluster(options());
    cluster.stop(StopMode::Fast).expect("it stops");
    let settings = format!("[pool]\npool_timeout = \"3s\"\n{QUICK}");
    let mut gate = Gate::start(BINARY, &url(&cluster), &settings, &[]);
    allow_outage(&mut gate);
    for port in [gate.session, gate.transaction] {
        let (took, error) = wait::timed(|| refusal(port, "", APP));
        let error = error.expect("nobody could serve it");
        assert_eq!((error.sqlstate(), error.field(b'S')), ("08001".into(), "FATAL".into()));
        assert!(error.field(b'M').starts_with("could not connect to upstream"), "{error:?}");
        assert!(error.field(b'D').contains("connection refused"), "{error:?}");
        assert!(error.field(b'H').ends_with("(TG002)"), "{error:?}");
        assert!(took >= Duration::from_millis(2900), "it was given up after {took:?}");
        assert!(took < Duration::from_secs(8), "it waited for {took:?}");
    }
    assert!(gate.get("/healthz").0 == 200);
}

#[test]
fn a_client_that_waits_for_a_server_that_is_down_is_served_when_it_comes_up() {
    let mut cluster = cluster(options());
    cluster.stop(StopMode::Fast).expect("it stops");
    let settings = format!("[pool]\npool_timeout = \"25s\"\n{QUICK}");
    let mut gate = Gate::start(BINARY, &url(&cluster), &settings, &[]);
    allow_outage(&mut gate);
    let clients: Vec<_> = [gate.session, gate.transaction]
        .map(|port| thread::spawn(move || Raw::log_in(port, APP, "", APP).value("SELECT 42")))
        .into();
    wait::until("both wait", || {
        (gate.metric("tidegate_checkout_queue_length", &[]) == 2.0).then_some(())
    });
    wait::until("the gate has failed to connect", || {
        (gate.metric("tidegate_server_connect_errors_total", &["transient"]) >= 2.0).then_some(())
    });
    cluster.start_again().expect("it starts");
    for client in clients {
        assert_eq!(client.join().expect("it is served"), "42");
    }
}

#[test]
fn a_wrong_password_of_the_upstream_is_told_at_once_and_remembered() {
    let cluster = cluster(ClusterOptions::default());
    let url = cluster.url(APP, "wrong", APP);
    let mut gate = Gate::start(BINARY, &url, "", &["upstream.census=off"]);
    allow_outage(&mut gate);
    for _ in 0..5 {
        let (took, error) = wait::timed(|| refusal(gate.transaction, "wrong", APP));
        let error = error.expect("the upstream refuses");
        assert_eq!(error.sqlstate(), "28P01");
        assert!(error.field(b'D').contains("password authentication failed"), "{error:?}");
        assert!(error.field(b'H').ends_with("(TG003)"), "{error:?}");
        assert!(took < Duration::from_secs(2), "it was told after {took:?}");
    }
    let failures = gate.metric("tidegate_server_connect_errors_total", &["permanent"]);
    assert!(failures < 5.0, "every client made PostgreSQL hash a password again");
    cluster.sql("ALTER ROLE app PASSWORD 'wrong'").expect("the role is changed");
    wait::until("the right password is tried again", || {
        refusal(gate.transaction, "wrong", APP).is_none().then_some(())
    });
}

#[test]
fn a_wrong_password_is_told_at_once_with_a_census_too() {
    let cluster = cluster(ClusterOptions::default());
    let url = cluster.url(APP, "wrong", APP);
    let mut gate = Gate::start(BINARY, &url, "", &[]);
    allow_outage(&mut gate);
    let (took, error) = wait::timed(|| refusal(gate.session, "wrong", APP));
    assert_eq!(error.expect("the upstream refuses").sqlstate(), "28P01");
    assert!(took < Duration::from_secs(5), "it was told after {took:?}");
}

#[test]
fn a_database_that_is_missing_is_told_at_once_and_served_once_it_is_there() {
    let mut scene = Scene::start(BINARY, "", &[]);
    scene.gate.allow("can't open a server");
    for port in scene.ports() {
        let (took, error) = wait::timed(|| refusal(port, "", "later"));
        let error = error.expect("there is no such database");
        assert_eq!(error.sqlstate(), "3D000");
        assert!(error.field(b'D').contains("\"later\" does not exist"), "{error:?}");
        assert!(took < Duration::from_secs(2), "it was told after {took:?}");
    }
    // Others are not affected.
    assert_eq!(scene.client(scene.gate.transaction).value("SELECT 1"), "1");
    scene.cluster.sql("CREATE DATABASE later OWNER app").expect("it is made");
    wait::until_within(Duration::from_secs(6), "the database is found", || {
        refusal(scene.gate.transaction, "", "later").is_none().then_some(())
    });
    let mut client = Raw::log_in(scene.gate.transaction, APP, "", "later");
    assert_eq!(client.value("SELECT current_database()"), "later");
}

// --- It restarts, crashes, or ends a backend. ---

#[test]
fn idle_clients_survive_a_restart_and_busy_ones_are_told() {
    for mode in [StopMode::Fast, StopMode::Immediate] {
        let mut scene = Scene::start(BINARY, QUICK, &[]);
        allow_outage(&mut scene.gate);
        let mut idle: Vec<_> = (0..5).map(|_| scene.client(scene.gate.transaction)).collect();
        idle.iter_mut().for_each(|client| client.run("SELECT 1"));
        let mut querying = scene.client(scene.gate.transaction);
        querying.query("SELECT pg_sleep(100)");
        let mut in_transaction = scene.client(scene.gate.transaction);
        in_transaction.begin();
        in_transaction.run("SELECT 1");
        let mut in_session = scene.client(scene.gate.session);
        in_session.run("SELECT 1");
        scene.until_running(1, "pg_sleep");

        scene.cluster.restart(mode).expect("it restarts");
        for client in [&mut querying, &mut in_transaction, &mut in_session] {
            let error = last_words(client);
            assert_eq!(error.field(b'S'), "FATAL", "{mode:?}: {error:?}");
            let words = error.field(b'M');
            match error.sqlstate().as_str() {
                "57P01" => assert!(words.contains("administrator command"), "{words}"),
                "08006" => assert!(error.field(b'H').ends_with("(TG013)"), "{error:?}"),
                other => panic!("{mode:?}: {other} {words}"),
            }
        }
        for client in &mut idle {
            assert_eq!(client.value("SELECT 42"), "42");
        }
        assert_eq!(scene.client(scene.gate.session).value("SELECT 42"), "42");
    }
}

#[test]
fn the_crash_of_a_backend_is_told_to_its_client_and_the_others_go_on() {
    let mut scene = Scene::start(BINARY, QUICK, &[]);
    allow_outage(&mut scene.gate);
    let mut idle: Vec<_> = (0..5).map(|_| scene.client(scene.gate.transaction)).collect();
    idle.iter_mut().for_each(|client| client.run("SELECT 1"));
    let mut victim = scene.client(scene.gate.session);
    let pid = victim.backend();
    victim.query("SELECT pg_sleep(100)");
    scene.until_running(1, "pg_sleep");

    processes::signal(&pid, "KILL");
    let error = last_words(&mut victim);
    assert_eq!((error.sqlstate(), error.field(b'S')), ("08006".into(), "FATAL".into()));
    assert!(error.field(b'D').contains("may or may not have been executed"), "{error:?}");
    for client in &mut idle {
        assert_eq!(client.value("SELECT 42"), "42");
    }
    assert_eq!(scene.client(scene.gate.session).value("SELECT 42"), "42");
}

#[test]
fn nobody_notices_that_an_idle_server_was_terminated() {
    let scene = Scene::start(BINARY, "[pool]\npool_size = 1\nmax_overflow = 0\n", &[]);
    let mut client = scene.client(scene.gate.transaction);
    let mut pid = client.backend();
    for _ in 0..50 {
        scene.until(&format!("SELECT state FROM pg_stat_activity WHERE pid = {pid}"), "idle");
        assert_eq!(scene.look(&format!("SELECT pg_terminate_backend({pid})")), "t");
        scene.until(&format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}"), "0");
        let next = client.backend();
        assert_ne!(pid, next);
        pid = next;
    }
}

// --- It is full. ---

/// A PostgreSQL with five places for ordinary roles, of which the scene's superuser has one and
/// the census another.
fn small() -> ClusterOptions {
    options().setting("max_connections", "8").setting("superuser_reserved_connections", "3")
}

/// Connections that do not pass through the gate.
fn guests(scene: &Scene, count: usize) -> Vec<Raw> {
    (0..count).map(|_| Raw::log_in(scene.cluster.port(), "guest", "", APP)).collect()
}

fn make_guest(cluster: &Cluster) {
    cluster.sql("CREATE ROLE guest LOGIN").expect("a role");
}

fn budget(scene: &Scene, expected: u32) {
    scene.until_metric("tidegate_budget_connections", &["instance"], f64::from(expected));
}

#[test]
fn clients_of_a_full_server_wait_and_are_told_who_fills_it() {
    let cluster = cluster(small());
    make_guest(&cluster);
    let url = url(&cluster);
    let flags = ["upstream.headroom=0", "upstream.census=100ms"];
    let settings = "[pool]\npool_timeout = \"1s\"\n";
    let scene = Scene::with(BINARY, cluster, &url, settings, &flags);
    budget(&scene, 4);
    let guests = guests(&scene, 3);
    budget(&scene, 1);
    for port in scene.ports() {
        let (took, error) = wait::timed(|| refusal(port, "", APP).expect("there is no room"));
        assert_eq!(error.sqlstate(), "53300");
        assert!(error.field(b'M').ends_with("has no room for another server"), "{error:?}");
        let detail = error.field(b'D');
        assert!(detail.starts_with("4 connections that do not pass through Tidegate"), "{detail}");
        assert!(error.field(b'H').ends_with("(TG004)"), "{error:?}");
        assert!(took >= Duration::from_millis(900), "it waited only for {took:?}");
    }
    drop(guests);
    budget(&scene, 4);
    for port in scene.ports() {
        assert_eq!(scene.client(port).value("SELECT 42"), "42");
    }
    assert_never_refused(&scene.cluster);
}

#[test]
fn a_refusal_by_postgresql_never_reaches_a_client() {
    let cluster = cluster(small());
    make_guest(&cluster);
    let url = url(&cluster);
    // The census has counted once and will not again while this runs: the gate does not know.
    let flags = ["upstream.headroom=0", "upstream.census=1h"];
    let settings = "[pool]\npool_timeout = \"1s\"\n";
    let mut scene = Scene::with(BINARY, cluster, &url, settings, &flags);
    scene.gate.allow("can't open a server");
    scene.until_metric("tidegate_upstream_max_connections", &[], 8.0);
    let guests = guests(&scene, 3);
    let error = refusal(scene.gate.transaction, "", APP).expect("there is no room");
    assert_eq!(error.sqlstate(), "53300");
    let words = [b'M', b'D', b'H'].map(|field| error.field(field)).join("\n");
    assert!(!REFUSALS.iter().any(|refusal| words.contains(refusal)), "{words}");
    assert!(words.contains("has refused a connection because it is full"), "{words}");
    assert!(words.contains("(TG0"), "{words}");
    assert!(scene.cluster.log_text().contains(REFUSALS[0]), "PostgreSQL had to refuse");
    drop(guests);
    wait::until("there is room again", || {
        refusal(scene.gate.transaction, "", APP).is_none().then_some(())
    });
}

#[test]
fn the_budget_follows_foreign_connections_as_they_come_and_go() {
    let cluster = cluster(options().setting("max_connections", "20"));
    make_guest(&cluster);
    let url = url(&cluster);
    let flags = ["upstream.census=100ms", "upstream.headroom=2"];
    let scene = Scene::with(BINARY, cluster, &url, "plan = \"free\"", &flags);
    let foreign = |expected: u32| {
        scene.until_metric("tidegate_budget_foreign_connections", &[], f64::from(expected));
    };
    // The plan's 15 are the lower limit: 20 less 3 reserved less 2 of headroom, the census being
    // one of them, are 16.
    let mut client = scene.client(scene.gate.transaction);
    for count in [0, 3, 9, 1, 0] {
        let guests = guests(&scene, count);
        let others = count as u32 + 1;
        foreign(others);
        budget(&scene, 15 - others);
        assert_eq!(client.value("SELECT 42"), "42");
        drop(guests);
    }
    assert_never_refused(&scene.cluster);
}

/// Clients that run transactions of some milliseconds side by side, and whose every answer must
/// be right.
fn load(port: u16, database: &'static str, clients: usize, transactions: usize) {
    let clients: Vec<_> = (0..clients)
        .map(|_| {
            thread::spawn(move || {
                let mut raw = Raw::log_in(port, APP, "", database);
                for _ in 0..transactions {
                    raw.begin();
                    raw.run("SELECT pg_sleep(0.005)");
                    raw.run("COMMIT");
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().expect("nobody is refused"));
}

#[test]
fn connection_limits_of_databases_and_roles_are_respected() {
    for sql in [
        // The superuser's own connection and the census count here.
        "ALTER DATABASE app CONNECTION LIMIT 4",
        "ALTER ROLE app CONNECTION LIMIT 3",
        "ALTER DATABASE app CONNECTION LIMIT 5; ALTER ROLE app CONNECTION LIMIT 3",
    ] {
        let cluster = cluster(options());
        cluster.sql(sql).expect("a limit");
        let url = url(&cluster);
        let scene = Scene::with(BINARY, cluster, &url, "", &["upstream.census=100ms"]);
        scene.until_metric("tidegate_budget_foreign_connections", &[], 1.0);
        load(scene.gate.transaction, APP, 10, 20);
        assert_eq!(scene.look(SERVERS), "2", "{sql}");
        assert_never_refused(&scene.cluster);
    }
}

#[test]
fn a_limit_of_a_role_or_database_is_named_to_who_waits_for_it() {
    for (sql, words) in [
        ("ALTER DATABASE app CONNECTION LIMIT 3", "database \"app\" allows 2 connections"),
        ("ALTER ROLE app CONNECTION LIMIT 2", "role \"app\" allows 2 connections"),
    ] {
        let cluster = cluster(options());
        cluster.sql(sql).expect("a limit");
        let url = url(&cluster);
        let settings = "[pool]\npool_timeout = \"1s\"\n";
        let scene = Scene::with(BINARY, cluster, &url, settings, &["upstream.census=100ms"]);
        scene.until_metric("tidegate_budget_foreign_connections", &[], 1.0);
        let mut holder = scene.client(scene.gate.transaction);
        holder.begin();
        holder.run("SELECT 1");
        let mut waiter = scene.client(scene.gate.transaction);
        waiter.query("SELECT 1");
        let error = error_of(&waiter.until_ready());
        assert_eq!((error.sqlstate(), error.field(b'S')), ("53300".into(), "ERROR".into()));
        assert!(error.field(b'D').contains(words), "{sql}: {}", error.field(b'D'));
        holder.run("COMMIT");
        assert_eq!(waiter.value("SELECT 42"), "42");
        assert_never_refused(&scene.cluster);
    }
}

#[test]
fn a_pool_that_starves_gets_the_idle_servers_of_another() {
    let flags = ["upstream.connections=4"];
    let scene = Scene::start(BINARY, "[pool]\npool_timeout = \"5s\"\n", &flags);
    scene.cluster.sql("CREATE DATABASE other OWNER app").expect("a database");
    load(scene.gate.transaction, APP, 8, 10);
    assert_eq!(scene.look(SERVERS), "3", "the whole budget but for the census");
    let (took, mut client) = wait::timed(|| Raw::log_in(scene.gate.transaction, APP, "", "other"));
    assert_eq!(client.value("SELECT current_database()"), "other");
    assert!(took < Duration::from_secs(3), "it waited for {took:?}");
    let evicted = || scene.gate.metric("tidegate_server_connections_closed_total", &["evicted"]);
    wait::until("one was evicted", || (evicted() >= 1.0).then_some(()));
    let most = format!("SELECT count(*) <= 4 FROM pg_stat_activity WHERE usename = '{APP}'");
    assert_eq!(scene.look(&most), "t");
}

#[test]
fn a_pool_that_starves_gets_its_share_of_a_busy_one() {
    let flags = ["upstream.connections=5"];
    let scene = Scene::start(BINARY, "[pool]\npool_timeout = \"10s\"\n", &flags);
    scene.cluster.sql("CREATE DATABASE other OWNER app").expect("a database");
    let port = scene.gate.transaction;
    let busy = thread::spawn(move || load(port, APP, 20, 150));
    scene.until("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'", "5");
    scene.until_metric("tidegate_checkout_queue_length", &["database=\"other\""], 0.0);
    load(port, "other", 4, 10);
    assert!(!busy.is_finished(), "the first load must last longer than the second");
    busy.join().expect("nobody is refused");
    assert_never_refused(&scene.cluster);
}

// --- Servers come and go by the settings. ---

#[test]
fn servers_are_replaced_when_they_are_too_old() {
    let scene = Scene::start(BINARY, "[pool]\npool_size = 1\npool_recycle = \"1s\"\n", &[]);
    let mut client = scene.client(scene.gate.transaction);
    let first = client.backend();
    let second = wait::until("the server is replaced", || {
        Some(client.backend()).filter(|pid| *pid != first)
    });
    wait::until("it is replaced while nobody uses it", || {
        let sql = "SELECT coalesce(max(pid), 0) FROM pg_stat_activity \
                   WHERE usename = 'app' AND application_name <> 'tidegate census'";
        Some(scene.look(sql)).filter(|pid| *pid != second && *pid != "0")
    });
    let closed = || scene.gate.metric("tidegate_server_connections_closed_total", &["lifetime"]);
    wait::until("two have reached their lifetime", || (closed() >= 2.0).then_some(()));
    assert_eq!(client.value("SELECT 42"), "42");
}

/// A backend that stands still is what a dead connection looks like: bytes are taken and nothing
/// is answered.
#[test]
fn a_server_that_does_not_answer_a_check_is_replaced_and_nobody_notices() {
    for pre_ping in ["always", "1s"] {
        let settings =
            format!("[pool]\npool_size = 2\nmax_overflow = 0\npool_pre_ping = \"{pre_ping}\"\n");
        let mut scene = Scene::start(BINARY, &settings, &[]);
        scene.gate.allow("a server did not answer in time");
        let mut client = scene.client(scene.gate.transaction);
        let pid = client.backend();
        processes::signal(&pid, "STOP");
        if pre_ping != "always" {
            scene.until_metric("tidegate_server_connections", &["\"tested\""], 1.0);
        }
        let next = client.backend();
        assert_ne!(pid, next);
        assert_eq!(client.value("SELECT 42"), "42");
        let closed = ["check_failed"];
        scene.until_metric("tidegate_server_connections_closed_total", &closed, 1.0);
        processes::signal(&pid, "CONT");
        scene.until(&format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}"), "0");
    }
}

#[test]
fn servers_that_are_not_needed_are_closed() {
    let settings = "[pool]\npool_size = 1\nmax_overflow = 3\noverflow_linger = \"200ms\"\n\
                    server_idle_timeout = \"2s\"\n";
    let scene = Scene::start(BINARY, settings, &[]);
    let mut clients: Vec<_> = (0..4).map(|_| scene.client(scene.gate.transaction)).collect();
    clients.iter_mut().for_each(|client| client.begin());
    clients.iter_mut().for_each(|client| client.run("SELECT 1"));
    scene.until(SERVERS, "4");
    clients.iter_mut().for_each(|client| client.run("COMMIT"));
    scene.until(SERVERS, "1");
    scene.until(SERVERS, "0");
    scene.until_metric("tidegate_server_connections_closed_total", &["idle"], 4.0);
    assert_eq!(clients[0].value("SELECT 42"), "42");
}

// --- The gate ends. ---

/// Waits until the application has no backend, the census included.
fn until_nothing_is_left(scene: &Scene) {
    scene.until("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'", "0");
}

#[test]
fn sigterm_lets_transactions_end_and_leaves_nothing_behind() {
    let mut scene = Scene::start(BINARY, "", &[]);
    let mut idle = scene.client(scene.gate.transaction);
    idle.run("SELECT 1");
    let mut in_session = scene.client(scene.gate.session);
    in_session.run("SELECT 1");
    let mut working = scene.client(scene.gate.transaction);
    working.run("CREATE TABLE done (n int)");
    working.begin();
    working.run("INSERT INTO done VALUES (1)");
    let mut working_in_session = scene.client(scene.gate.session);
    working_in_session.begin();
    working_in_session.run("INSERT INTO done VALUES (2)");
    assert_eq!(scene.gate.get("/readyz").0, 200);

    scene.gate.signal("TERM");
    wait::until("/readyz says no", || (scene.gate.get("/readyz").0 == 503).then_some(()));
    assert_eq!(scene.gate.get("/healthz").0, 200);
    for client in [&mut idle, &mut in_session] {
        let error = last_words(client);
        assert_eq!((error.sqlstate(), error.field(b'S')), ("57P01".into(), "FATAL".into()));
        assert!(error.field(b'H').ends_with("(TG015)"), "{error:?}");
    }
    wait::until("the ports are closed", || {
        std::net::TcpStream::connect(("127.0.0.1", scene.gate.transaction)).err()
    });
    for client in [&mut working, &mut working_in_session] {
        client.run("INSERT INTO done VALUES (3)");
        client.run("COMMIT");
        assert_eq!(last_words(client).sqlstate(), "57P01");
    }
    assert_eq!(scene.gate.wait(), Some(0));
    assert_eq!(scene.look("SELECT count(*) FROM done"), "4");
    until_nothing_is_left(&scene);
}

#[test]
fn what_does_not_end_in_time_is_cancelled() {
    let mut scene = Scene::start(BINARY, "[timeouts]\ndrain = \"500ms\"\n", &[]);
    let mut clients: Vec<_> = scene
        .ports()
        .into_iter()
        .map(|port| {
            let mut client = scene.client(port);
            client.query("SELECT pg_sleep(100)");
            client
        })
        .collect();
    scene.until_running(2, "pg_sleep");
    let (took, code) = wait::timed(|| {
        scene.gate.signal("TERM");
        scene.gate.wait()
    });
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    for client in &mut clients {
        assert_eq!(last_words(client).sqlstate(), "57P01");
    }
    until_nothing_is_left(&scene);
}

#[test]
fn clients_that_wait_are_told_that_the_gate_ends() {
    let mut scene = Scene::start(BINARY, "[pool]\npool_size = 1\nmax_overflow = 0\n", &[]);
    let mut holder = scene.client(scene.gate.transaction);
    let mut waiter = scene.client(scene.gate.transaction);
    holder.begin();
    holder.run("SELECT 1");
    waiter.query("SELECT 1");
    scene.until_waiting(1);
    scene.gate.signal("TERM");
    let error = error_of(&waiter.until_end());
    assert_eq!(error.sqlstate(), "57P01");
    holder.run("COMMIT");
    assert_eq!(scene.gate.wait(), Some(0));
    until_nothing_is_left(&scene);
}
