//! Timeouts of clients, as they and PostgreSQL see them.

use std::time::Duration;

use tidegate_testkit::batch::{Batch, Format};
use tidegate_testkit::raw::{Frame, Raw};
use tidegate_testkit::scene::{ONE_SERVER, Scene};
use tidegate_testkit::wait;

const CANCELLED: &str = "cancelled a statement that took too long";
const QUERY_TIMEOUT: &str = "canceling statement due to Tidegate's query timeout";
const USER_REQUEST: &str = "canceling statement due to user request";
const STATEMENT_TIMEOUT: &str = "canceling statement due to statement timeout";

/// One server, and these timeouts; what the gate may warn of.
fn scene(timeouts: &str, allowed: &str) -> Scene {
    let settings = format!("{ONE_SERVER}[timeouts]\n{timeouts}\n");
    let mut scene = Scene::start(env!("CARGO_BIN_EXE_tidegate"), &settings, &[]);
    if !allowed.is_empty() {
        scene.gate.allow(allowed);
    }
    scene
}

/// The error among these messages: severity, SQLSTATE, and message.
fn error_in(frames: &[Frame]) -> [String; 3] {
    let error = frames.iter().find(|frame| frame.tag == b'E');
    let error = error.unwrap_or_else(|| panic!("no error in {frames:?}"));
    [error.field(b'S'), error.sqlstate(), error.field(b'M')]
}

/// Runs a statement that fails, after which the client can go on.
fn fails(raw: &mut Raw, sql: &str) -> [String; 3] {
    raw.query(sql);
    let frames = raw.until_ready();
    assert_eq!(frames.last().map(|frame| frame.tag), Some(b'Z'), "{sql}: {frames:?}");
    error_in(&frames)
}

/// How often clients of a port have run out of this time.
fn count(scene: &Scene, listener: &str, kind: &str) -> f64 {
    let labels = [format!("listener=\"{listener}\""), format!("kind=\"{kind}\"")];
    scene.gate.metric("tidegate_timeouts_total", &[&labels[0], &labels[1]])
}

/// The only server is there for another client, with nothing of the last one's in it.
fn is_free(scene: &Scene, port: u16) {
    let mut next = scene.client(port);
    assert_eq!(next.value("SELECT 'free'"), "free");
    next.leave();
    scene.until(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND xact_start IS NOT NULL",
        "0",
    );
}

#[test]
fn a_statement_that_takes_too_long_is_cancelled_and_its_client_goes_on() {
    let scene = scene("query = \"300ms\"", CANCELLED);
    for (name, port) in ["session", "transaction"].into_iter().zip(scene.ports()) {
        let mut raw = scene.client(port);
        let expected = ["ERROR", "57014", QUERY_TIMEOUT];
        assert_eq!(fails(&mut raw, "SELECT pg_sleep(60)"), expected, "{name}");
        assert_eq!(raw.value("SELECT 1"), "1", "{name}: it goes on");

        // In a transaction the transaction has failed, and is still the client's.
        raw.begin();
        raw.query("SELECT pg_sleep(60)");
        let frames = raw.until_ready();
        assert_eq!(error_in(&frames), expected, "{name}");
        let error = frames.iter().find(|frame| frame.tag == b'E').expect("an error");
        assert!(error.field(b'D').contains("0.3 s"), "{}", error.field(b'D'));
        assert!(error.field(b'H').ends_with("(TG028)"), "{}", error.field(b'H'));
        assert_eq!(frames.last().expect("an end").body, b"E");
        assert_eq!(raw.failure("SELECT 1"), "25P02");
        raw.run("ROLLBACK");

        let batch = Batch::new().extended("SELECT pg_sleep(60)", &[], Format::Text).sync();
        assert_eq!(error_in(&raw.exchange(&batch, 1)), expected, "{name}: the extended protocol");
        assert_eq!(raw.value("SELECT 2"), "2");
        assert_eq!(count(&scene, name, "query"), 3.0);
        raw.leave();
        is_free(&scene, port);
    }
}

/// What comes behind a statement that is cancelled is whole: the cancel never hits it.
#[test]
fn a_cancel_does_not_hit_the_next_statement() {
    // Long enough for what comes behind it on a machine that is busy.
    let scene = scene("query = \"200ms\"", CANCELLED);
    for port in scene.ports() {
        let mut raw = scene.client(port);
        for round in 0..25 {
            // Some end by themselves just as they are cancelled.
            raw.query(&format!("SELECT pg_sleep(0.{})", 197 + round % 5));
            let frames = raw.until_ready();
            if frames.iter().any(|frame| frame.tag == b'E') {
                assert_eq!(error_in(&frames), ["ERROR", "57014", QUERY_TIMEOUT]);
            }
            assert_eq!(raw.value("SELECT 1"), "1", "round {round}");
        }
        raw.leave();
    }
}

#[test]
fn a_statement_that_can_not_be_cancelled_ends_with_its_client() {
    let settings = "query = \"200ms\"\ncancel = \"300ms\"";
    let mut scene = scene(settings, CANCELLED);
    scene.gate.allow("closed a client whose statement did not end when it was cancelled");
    for port in scene.ports() {
        let mut raw = scene.client(port);
        // It catches the cancel, and goes on.
        raw.query(
            "DO $$ BEGIN FOR i IN 1..8 LOOP BEGIN PERFORM pg_sleep(0.5); \
             EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$",
        );
        let expected = ["FATAL", "57014", "terminating connection due to Tidegate's query timeout"];
        assert_eq!(error_in(&raw.until_end()), expected);
        is_free(&scene, port);
    }
}

#[test]
fn the_clients_own_cancel_and_statement_timeout_keep_their_words() {
    let scene = scene("query = \"20s\"", "");
    for port in scene.ports() {
        let mut raw = scene.client(port);
        raw.query("SELECT pg_sleep(15)");
        scene.until_running(1, "pg_sleep(15)");
        raw.cancel(port);
        assert_eq!(error_in(&raw.until_ready()), ["ERROR", "57014", USER_REQUEST]);
        raw.run("BEGIN; SET LOCAL statement_timeout = '50ms'");
        let failure = fails(&mut raw, "SELECT pg_sleep(15)");
        assert_eq!(failure, ["ERROR", "57014", STATEMENT_TIMEOUT]);
        raw.run("ROLLBACK");
        raw.leave();
    }
    for port in ["session", "transaction"] {
        assert_eq!(count(&scene, port, "query"), 0.0);
    }
}

/// One cancel explains one failure: the next is told as PostgreSQL tells it.
#[test]
fn after_a_query_timeout_other_cancels_keep_their_words() {
    let scene = scene("query = \"1s\"", CANCELLED);
    for port in scene.ports() {
        let mut raw = scene.client(port);
        // Two within one transaction, hence of one lease.
        raw.begin();
        raw.run("SAVEPOINT s");
        assert_eq!(fails(&mut raw, "SELECT pg_sleep(60)")[2], QUERY_TIMEOUT);
        raw.run("ROLLBACK TO s; SET LOCAL statement_timeout = '100ms'");
        assert_eq!(fails(&mut raw, "SELECT pg_sleep(60)")[2], STATEMENT_TIMEOUT);
        raw.run("ROLLBACK TO s");
        raw.query("SELECT pg_sleep(61)");
        scene.until_running(1, "pg_sleep(61)");
        raw.cancel(port);
        assert_eq!(error_in(&raw.until_ready())[2], USER_REQUEST);
        raw.run("ROLLBACK");
        // Both cancel the same statement, which lets the first pass: whose the second was, nobody
        // can tell.
        raw.query(
            "DO $$ BEGIN BEGIN PERFORM pg_sleep(62); EXCEPTION WHEN query_canceled THEN NULL; \
             END; PERFORM pg_sleep(62); END $$",
        );
        scene.until_running(1, "pg_sleep(62)");
        raw.cancel(port);
        assert_eq!(error_in(&raw.until_ready())[2], USER_REQUEST);
        // Two batches of one pipeline: the first is cancelled, the second is PostgreSQL's.
        let second = "DO $$ BEGIN RAISE EXCEPTION 'its own' USING ERRCODE = '57014'; END $$";
        let batch = Batch::new()
            .extended("SELECT pg_sleep(60)", &[], Format::Text)
            .sync()
            .extended(second, &[], Format::Text)
            .sync();
        let frames = raw.exchange(&batch, 2);
        let errors: Vec<_> = frames.iter().filter(|frame| frame.tag == b'E').collect();
        let messages: Vec<_> = errors.iter().map(|error| error.field(b'M')).collect();
        assert_eq!(messages, [QUERY_TIMEOUT, "its own"]);
        raw.leave();
    }
}

#[test]
fn postgresqls_statement_timeout_works_as_before() {
    let scene = scene("query = \"20s\"", "");
    for port in scene.ports() {
        let mut raw = scene.client(port);
        raw.run("SET statement_timeout = '60ms'");
        for _ in 0..2 {
            let failure = fails(&mut raw, "SELECT pg_sleep(15)");
            assert_eq!(failure, ["ERROR", "57014", STATEMENT_TIMEOUT]);
        }
        assert_eq!(raw.value("SHOW statement_timeout"), "60ms");
        raw.leave();
        // It was the other client's.
        assert_eq!(scene.client(port).value("SHOW statement_timeout"), "0");
    }
}

#[test]
fn a_transaction_that_lasts_too_long_ends_with_its_client() {
    let scene = scene("transaction = \"500ms\"", "closed a client whose transaction took too long");
    scene.client(scene.cluster.port()).run("CREATE TABLE sink (a text)");
    let expected = ["FATAL", "25P04", "terminating connection due to transaction timeout"];
    for (name, port) in ["session", "transaction"].into_iter().zip(scene.ports()) {
        let mut silent = scene.client(port);
        silent.run("BEGIN; INSERT INTO sink VALUES ('silent')");
        assert_eq!(error_in(&silent.until_end()), expected, "{name}: it is silent");
        is_free(&scene, port);

        let mut running = scene.client(port);
        running.query("INSERT INTO sink SELECT 'running' FROM pg_sleep(60)");
        assert_eq!(error_in(&running.until_end()), expected, "{name}: it runs");
        is_free(&scene, port);

        // However busy it is.
        let mut busy = scene.client(port);
        busy.begin();
        let end = wait::until("its end", || {
            busy.query("INSERT INTO sink VALUES ('busy')");
            let frames = busy.until_ready();
            frames.iter().any(|frame| frame.tag == b'E').then_some(frames)
        });
        assert_eq!(error_in(&end), expected, "{name}: it is busy");
        is_free(&scene, port);
        assert_eq!(scene.look("SELECT count(*) FROM sink"), "0");
        assert_eq!(count(&scene, name, "transaction"), 3.0);

        // Transaction after transaction is no transaction that lasts.
        let mut often = scene.client(port);
        let time = wait::stopwatch();
        while time() < Duration::from_millis(1200) {
            often.run("BEGIN; SELECT pg_sleep(0.05); COMMIT");
        }
        often.leave();
    }
}

#[test]
fn whoever_is_silent_within_something_is_closed() {
    let settings = "idle_in_transaction = \"400ms\"";
    let scene = scene(settings, "closed a client that was idle in a transaction");
    scene.client(scene.cluster.port()).run("CREATE TABLE sink (a text)");
    let begun = [
        ("a transaction", Batch::new().query("BEGIN; INSERT INTO sink VALUES ('a')")),
        ("a batch without its Sync", Batch::new().extended("SELECT 1", &[], Format::Text).flush()),
        ("a copy", Batch::new().query("COPY sink FROM STDIN").copy_data(b"one\n")),
        ("half a message", Batch::new().query("BEGIN; SELECT 1").raw(b"Q\0\0\x10\0SELECT '")),
    ];
    for (name, port) in ["session", "transaction"].into_iter().zip(scene.ports()) {
        for (what, batch) in &begun {
            let mut raw = scene.client(port);
            raw.send(batch.bytes());
            let end = error_in(&raw.until_end());
            let message = "terminating connection due to idle-in-transaction timeout";
            assert_eq!(end, ["FATAL", "25P03", message], "{name}: {what}");
            is_free(&scene, port);
        }
        assert_eq!(count(&scene, name, "idle_in_transaction"), 4.0);
        // PostgreSQL's turn is not the client's silence, and between transactions it may be silent.
        let mut raw = scene.client(port);
        raw.run("BEGIN; SELECT pg_sleep(1)");
        raw.run("COMMIT");
        let mut other = scene.client(scene.cluster.port());
        other.run("SELECT pg_sleep(1)");
        assert_eq!(raw.value("SELECT 1"), "1");
        raw.leave();
    }
    assert_eq!(scene.look("SELECT count(*) FROM sink"), "0");
}

#[test]
fn whoever_has_nothing_to_say_is_closed_when_it_is_asked_for() {
    let scene = scene("client_idle = \"500ms\"", "");
    let expected = ["FATAL", "57P05", "terminating connection due to idle-session timeout"];
    for (name, port) in ["session", "transaction"].into_iter().zip(scene.ports()) {
        let mut fresh = scene.client(port);
        assert_eq!(error_in(&fresh.until_end()), expected, "{name}: it never said anything");
        let mut raw = scene.client(port);
        raw.run("SELECT 1");
        assert_eq!(error_in(&raw.until_end()), expected, "{name}");
        assert_eq!(count(&scene, name, "client_idle"), 2.0);

        // Neither a statement nor a transaction is idle.
        let mut raw = scene.client(port);
        raw.run("SELECT pg_sleep(1)");
        raw.begin();
        scene.client(scene.cluster.port()).run("SELECT pg_sleep(1)");
        raw.run("COMMIT");
        raw.leave();
        is_free(&scene, port);
    }
    let closed = ["listener=\"transaction\"", "reason=\"timeout\""];
    assert_eq!(scene.gate.metric("tidegate_client_connections_closed_total", &closed), 2.0);
}

#[test]
fn a_client_that_listens_is_not_idle() {
    let settings = "plan = \"free\"\n[pool]\npool_size = 2\nmax_overflow = 0\n\
                    [timeouts]\nclient_idle = \"400ms\"\n";
    let scene = Scene::start(env!("CARGO_BIN_EXE_tidegate"), settings, &[]);
    let mut raw = scene.client(scene.gate.transaction);
    raw.run("LISTEN news");
    scene.client(scene.cluster.port()).run("SELECT pg_sleep(1)");
    scene.client(scene.cluster.port()).run("NOTIFY news");
    assert_eq!(raw.next().expect("it is still there").tag, b'A');
    raw.run("UNLISTEN news");
    assert_eq!(error_in(&raw.until_end())[1], "57P05", "now it is");
}

#[test]
fn a_pool_for_sets_the_timeouts_of_its_clients() {
    let settings = format!(
        "{ONE_SERVER}[timeouts]\nquery = \"100ms\"\n\
         [[pool_for]]\nuser = \"app\"\nquery = \"off\"\nclient_idle = \"1s\"\n"
    );
    let mut scene = Scene::start(env!("CARGO_BIN_EXE_tidegate"), &settings, &[]);
    scene.gate.allow(CANCELLED);
    for port in scene.ports() {
        let mut raw = scene.client(port);
        raw.run("SELECT pg_sleep(0.5)");
        assert_eq!(error_in(&raw.until_end())[1], "57P05");
        is_free(&scene, port);
    }
}
