//! The network between gate and PostgreSQL, and between clients and gate, is cut, silent, and
//! half-open.

use tidegate_scratch::ClusterOptions;
use tidegate_testkit::batch::Batch;
use tidegate_testkit::fault::{Cut, FaultProxy, Way, Which};
use tidegate_testkit::raw::{Frame, Raw};
use tidegate_testkit::scene::{self, APP, Scene};
use tidegate_testkit::wait;
use tidegate_wire::startup::{self, ProtocolVersion};

use crate::stage::{
    CENSUS, CLOSED, GATE, HBA, QUICK, Stage, allow_outage, code, fails, last_words, pool,
};

const CUTS: [Cut; 2] = [Cut::Fin, Cut::Reset];

fn start(settings: &str) -> Stage {
    let mut stage = Stage::start(settings);
    allow_outage(&mut stage.scene.gate);
    stage.scene.client(stage.scene.cluster.port()).run("CREATE TABLE sink (line text)");
    stage
}

/// Begins to copy into `sink`, and waits until PostgreSQL has taken the first lines.
fn copy_in(raw: &mut Raw) {
    raw.query("BEGIN; COPY sink FROM STDIN");
    assert_eq!(raw.next().map(|frame| frame.tag), Some(b'C'));
    assert_eq!(raw.next().map(|frame| frame.tag), Some(b'G'));
    raw.send(Batch::new().copy_data(b"one\n").copy_data(b"two\n").bytes());
}

const COPY_OUT: &str = "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000)) TO STDOUT";

/// A client whose next statement this backend gets: there is no other that idles.
fn client_of_known_backend(stage: &Stage, port: u16) -> (Raw, String) {
    let mut raw = stage.scene.client(port);
    raw.begin();
    let backend = raw.backend();
    raw.run("COMMIT");
    (raw, backend)
}

fn upstream_closed(stage: &Stage) -> f64 {
    stage.scene.gate.metric(CLOSED, &["reason=\"upstream\""])
}

fn other_is_served(stage: &Stage) {
    let mut other = stage.scene.client(stage.scene.gate.transaction);
    assert_eq!(other.value("SELECT 'other'"), "other");
    other.leave();
}

#[test]
fn a_copy_to_postgresql_that_is_cut_leaves_nothing_and_is_told() {
    let stage = start(&(pool(2) + QUICK));
    for port in stage.scene.ports() {
        for how in CUTS {
            let before = upstream_closed(&stage);
            let (mut raw, backend) = client_of_known_backend(&stage, port);
            let link = stage.link(&backend);
            copy_in(&mut raw);
            // It ends in the midst of the next message.
            assert_eq!(stage.network.cut_after(link, Way::Up, 7, how), 1);
            raw.send(Batch::new().copy_data(b"three, of which the end is never sent\n").bytes());
            assert_eq!(code(&last_words(&mut raw)), "FATAL 08006 TG013", "{how:?}");
            other_is_served(&stage);
            stage.until_gone(&backend);
            assert_eq!(stage.scene.look("SELECT count(*) FROM sink"), "0");
            assert_eq!(upstream_closed(&stage), before + 1.0);
            stage.scene.all_slots_serve(2, CENSUS);
        }
    }
}

#[test]
fn an_answer_that_is_cut_ends_with_whole_messages_and_no_words_of_ours_within_one() {
    let stage = start(&(pool(2) + QUICK));
    for port in stage.scene.ports() {
        for how in CUTS {
            let (mut raw, backend) = client_of_known_backend(&stage, port);
            // In the midst of a row, of 5 + 1001 bytes each.
            let bytes = 200 * 1006 + 500;
            assert_eq!(stage.network.cut_after(stage.link(&backend), Way::Down, bytes, how), 1);
            raw.query(COPY_OUT);
            let frames = raw.until_end();
            let rows = frames.iter().filter(|frame| frame.tag == b'd').count();
            // What was on its way when the connection broke may be lost.
            let least = if how == Cut::Fin { 195 } else { 0 };
            assert!((least..=200).contains(&rows), "{how:?}: {rows} rows");
            for frame in &frames {
                assert!(b"Hd".contains(&frame.tag), "{how:?}: {frame:?}");
                assert!(
                    frame.tag != b'd' || frame.body == [[b'x'; 1000].as_slice(), b"\n"].concat()
                );
            }
            other_is_served(&stage);
            stage.until_gone(&backend);
            stage.scene.all_slots_serve(2, CENSUS);
        }
    }
}

/// The relay's kernel goes on acknowledging, so ours does not give the peer up: what ends it is the
/// client's time. The server's slot is held until its backend is known to have gone.
#[test]
fn a_copy_in_a_black_hole_ends_by_its_clients_timeouts() {
    let settings = pool(3) + "[timeouts]\nquery = \"500ms\"\ncancel = \"500ms\"\n" + QUICK;
    let mut stage = start(&settings);
    let gate = &mut stage.scene.gate;
    gate.allow("cancelled a statement that took too long");
    gate.allow("closed a client whose statement did not end when it was cancelled");
    gate.allow("a server did not answer in time");
    let mut reader = stage.scene.client(stage.scene.gate.transaction);
    let mut writer = stage.scene.client(stage.scene.gate.session);
    writer.begin();
    reader.begin();
    let backends = [reader.backend(), writer.backend()];
    reader.run("COMMIT");
    writer.run("COMMIT");
    copy_in(&mut writer);
    for backend in &backends {
        assert_eq!(stage.network.hold(stage.link(backend), Way::BOTH), 1);
    }
    reader.query(COPY_OUT);
    writer.send(Batch::new().copy_data(b"three\n").bytes());
    // PostgreSQL was told to cancel, and nobody heard it say so.
    assert_eq!(code(&last_words(&mut reader)), "FATAL 57014 TG029");
    assert_eq!(code(&last_words(&mut writer)), "FATAL 57014 TG029");
    other_is_served(&stage);
    let used = stage.scene.gate.metric("tidegate_budget_used_connections", &[]);
    assert_eq!(used, (3 + CENSUS) as f64, "both are counted");
    backends.iter().for_each(|backend| {
        stage.network.release(stage.link(backend));
    });
    backends.iter().for_each(|backend| stage.until_gone(backend));
    assert_eq!(stage.scene.look("SELECT count(*) FROM sink"), "0");
    stage.scene.all_slots_serve(3, CENSUS);
}

/// Something between has closed a connection in order, towards both sides, as load balancers do with
/// those that they find idle. A backend at work does not notice, and counts.
#[test]
fn a_server_that_something_between_has_closed_counts_until_its_backend_has_gone() {
    let stage = start(&(pool(2) + QUICK));
    for port in stage.scene.ports() {
        let mut raw = stage.scene.client(port);
        raw.begin();
        let backend = raw.backend();
        raw.query("SELECT pg_sleep(60)");
        stage.scene.until_running(1, "pg_sleep(60)");
        assert_eq!(stage.network.cut(stage.link(&backend), Cut::Fin), 1);
        assert_eq!(code(&last_words(&mut raw)), "FATAL 08006 TG013");
        let mut others = [(); 2].map(|()| stage.scene.client(stage.scene.gate.transaction));
        others[0].begin();
        others[1].query("SELECT 'waits'");
        stage.scene.until_waiting(1);
        stage.scene.until_metric("tidegate_server_connections", &["\"closing\""], 1.0);
        let own = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'";
        assert_eq!(stage.scene.look(own), (2 + CENSUS).to_string());
        assert_eq!(stage.scene.look(&format!("SELECT pg_terminate_backend({backend})")), "t");
        assert!(others[1].until_ready().iter().any(|frame| frame.tag == b'D'));
        others[0].run("COMMIT");
        drop(others);
        stage.scene.all_slots_serve(2, CENSUS);
    }
}

/// Nothing came from PostgreSQL for a while, and then all of it did.
#[test]
fn what_the_network_has_held_arrives_whole() {
    let stage = start(&pool(2));
    for (nth, port) in stage.scene.ports().into_iter().enumerate() {
        for (mth, way) in [Way::Up, Way::Down].into_iter().enumerate() {
            let mut raw = stage.scene.client(port);
            raw.begin();
            let backend = raw.backend();
            let link = stage.link(&backend);
            stage.network.hold(link, &[way]);
            raw.query(&format!("SELECT 'held {nth} {mth}'"));
            other_is_served(&stage);
            stage.network.release(link);
            let frames = raw.until_ready();
            let row = frames.iter().find(|frame| frame.tag == b'D').expect("a row");
            assert_eq!(row.body[6..], *format!("held {nth} {mth}").as_bytes());
            raw.run("COMMIT");
            raw.leave();
        }
    }
    stage.scene.all_slots_serve(2, CENSUS);
    assert_eq!(upstream_closed(&stage), 0.0);
}

#[test]
fn a_client_that_is_cut_in_a_copy_leaves_nothing() {
    let stage = start(&pool(1));
    for port in stage.scene.ports() {
        let towards = FaultProxy::start(port);
        for how in CUTS {
            let mut raw = Raw::log_in(towards.port(), APP, "", APP);
            copy_in(&mut raw);
            towards.cut_after(Which::All, Way::Up, 7, how);
            raw.send(Batch::new().copy_data(b"three, of which the end is never sent\n").bytes());
            assert_eq!(raw.until_end(), []);
            // Half a message can't be ended by anything that follows, so the server goes with it.
            stage.scene.all_slots_serve(1, CENSUS);
            assert_eq!(stage.scene.look("SELECT count(*) FROM sink"), "0");

            let mut reader = Raw::log_in(towards.port(), APP, "", APP);
            towards.cut_after(Which::All, Way::Down, 100_500, how);
            reader.query(COPY_OUT);
            let frames: Vec<Frame> = reader.until_end();
            assert!(frames.iter().all(|frame| b"Hd".contains(&frame.tag)), "whole messages");
            stage.scene.all_slots_serve(1, CENSUS);
        }
    }
    let vanished = "tidegate_client_connections_closed_total";
    assert_eq!(stage.scene.gate.metric(vanished, &["reason=\"vanished\""]), 8.0);
}

/// A statement of which PostgreSQL has got a part is not sent again, whoever broke the connection.
#[test]
fn a_statement_that_is_cut_within_is_told_and_never_repeated() {
    let stage = start(&(pool(2) + QUICK));
    for port in stage.scene.ports() {
        for how in CUTS {
            let (mut raw, backend) = client_of_known_backend(&stage, port);
            let link = stage.link(&backend);
            let insert = "INSERT INTO sink VALUES ('once or never')";
            stage.network.cut_after(link, Way::Up, 20, how);
            raw.query(insert);
            assert_eq!(code(&last_words(&mut raw)), "FATAL 08006 TG013");
            stage.until_gone(&backend);
            assert_eq!(stage.scene.look("SELECT count(*) FROM sink"), "0");

            // All of it has arrived, and its answer is cut.
            let (mut raw, backend) = client_of_known_backend(&stage, port);
            stage.network.cut_after(stage.link(&backend), Way::Down, 3, how);
            raw.query(insert);
            // Of the answer there were three bytes, which were not passed on yet.
            assert_eq!(code(&last_words(&mut raw)), "FATAL 08006 TG013");
            stage.until_gone(&backend);
            assert_eq!(stage.scene.look("SELECT count(*) FROM sink"), "1");
            stage
                .scene
                .look("WITH gone AS (DELETE FROM sink RETURNING 1) SELECT count(*) FROM gone");
            stage.scene.all_slots_serve(2, CENSUS);
        }
    }
}

/// PostgreSQL has forgotten idle connections, and nobody has told the gate.
#[test]
fn a_half_open_server_is_found_before_anybody_gets_it() {
    for pre_ping in ["always", "1s"] {
        let settings = pool(2) + &format!("pool_pre_ping = \"{pre_ping}\"\n");
        let mut stage = start(&settings);
        stage.scene.gate.allow("a server did not answer in time");
        let mut raw = stage.scene.client(stage.scene.gate.transaction);
        let backend = raw.backend();
        assert_eq!(stage.network.forget(stage.link(&backend)), 1);
        stage.until_gone(&backend);
        if pre_ping != "always" {
            stage.scene.until_metric("tidegate_server_connections", &["\"tested\""], 1.0);
        }
        let next = raw.backend();
        assert_ne!(next, backend);
        stage.scene.until_metric(CLOSED, &["reason=\"check_failed\""], 1.0);
        raw.leave();
        stage.scene.all_slots_serve(2, CENSUS);
    }
}

/// A statement is sent into a connection of which PostgreSQL knows nothing any more.
#[test]
fn a_statement_on_a_half_open_server_ends_by_its_clients_timeout() {
    let settings = pool(3) + "[timeouts]\nquery = \"500ms\"\ncancel = \"500ms\"\n";
    let mut stage = start(&settings);
    stage.scene.gate.allow("cancelled a statement that took too long");
    stage.scene.gate.allow("closed a client whose statement did not end when it was cancelled");
    stage.scene.gate.allow("a server did not answer in time");
    let mut victims = stage.scene.ports().map(|port| stage.scene.client(port));
    for raw in &mut victims {
        raw.begin();
        let backend = raw.backend();
        stage.network.forget(stage.link(&backend));
        raw.query("SELECT 'nobody hears'");
    }
    for raw in &mut victims {
        assert_eq!(code(&last_words(raw)), "FATAL 57014 TG029");
    }
    other_is_served(&stage);
    stage.scene.all_slots_serve(3, CENSUS);
}

/// What is said to it does not arrive, and neither does the end of its connection; it has locked what others
/// need.
#[test]
fn a_backend_that_nothing_reaches_any_more_is_ended_by_the_census() {
    let settings = pool(2) + "[timeouts]\nquery = \"500ms\"\ncancel = \"500ms\"\n";
    let mut stage = start(&settings);
    stage.scene.gate.allow("cancelled a statement that took too long");
    stage.scene.gate.allow("closed a client whose statement did not end when it was cancelled");
    stage.scene.gate.allow("a server did not answer in time");
    let mut victim = stage.scene.client(stage.scene.gate.transaction);
    victim.begin();
    victim.run("LOCK sink");
    let backend = victim.backend();
    stage.network.hold(stage.link(&backend), Way::BOTH);
    victim.query("SELECT 'nobody hears'");
    assert_eq!(code(&last_words(&mut victim)), "FATAL 57014 TG029");
    let state = format!("SELECT state FROM pg_stat_activity WHERE pid = {backend}");
    assert_eq!(stage.scene.look(&state), "idle in transaction");
    stage.until_gone(&backend);
    stage.scene.gate.until_logged("ended a backend that had lost its connection to the gate");
    stage.scene.all_slots_serve(2, CENSUS);
}

/// What a client listens to is on its way to the listening server when that is lost; then the client
/// listens no more.
#[test]
fn a_server_that_listened_to_markers_goes_to_nobody_as_it_is() {
    let mut stage = start(&pool(3));
    stage.scene.gate.allow("the server that listens for its database was lost");
    let mut first = stage.scene.client(stage.scene.gate.transaction);
    first.run("LISTEN news");
    stage.scene.gate.until_logged("a server listens for all clients of its database");
    let listening = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN tidegate%'";
    let ear = stage.scene.look(listening);
    stage.network.hold(stage.link(&ear), Way::BOTH);
    let mut second = stage.scene.client(stage.scene.gate.transaction);
    second.run("LISTEN news");
    let own = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN tidegate%' AND pid <> {ear}"
    );
    stage.scene.until(&own, "1");
    stage.network.cut(stage.link(&ear), Cut::Reset);
    stage.scene.gate.until_logged("the server that listens for its database was lost");
    second.run("UNLISTEN news");
    first.run("UNLISTEN *");
    let mut others: Vec<Raw> =
        (0..3).map(|_| stage.scene.client(stage.scene.gate.transaction)).collect();
    for other in &mut others {
        other.begin();
        let channels = "SELECT coalesce(string_agg(c, ','), 'none') FROM pg_listening_channels() c";
        assert_eq!(other.value(channels), "none");
    }
}

#[test]
fn a_network_that_refuses_or_ignores_is_told_and_then_forgotten() {
    let settings = "plan = \"free\"\n[pool]\npool_size = 2\nmax_overflow = 0\n\
                    pool_timeout = \"2s\"\n[timeouts]\nconnect = \"400ms\"\n"
        .to_owned()
        + QUICK;
    let stage = start(&settings);
    let mut holder = stage.scene.client(stage.scene.gate.transaction);
    holder.begin();
    for (fault, words) in
        [("refuses", "connection refused"), ("ignores", "no connection within 400ms")]
    {
        match fault {
            "refuses" => stage.network.refuse(),
            _ => stage.network.ignore(),
        }
        let mut raw = stage.scene.client(stage.scene.gate.transaction);
        let error = fails(&mut raw, "SELECT 1");
        assert_eq!(code(&error), "ERROR 53300 TG001", "{fault}: one server stands");
        assert!(error.field(b'D').contains(words), "{fault}: {}", error.field(b'D'));
        assert_eq!(holder.value("SELECT 'stands'"), "stands");
        raw.query("SELECT 'comes'");
        stage.scene.until_waiting(1);
        stage.network.accept();
        let frames = raw.until_ready();
        assert!(frames.iter().any(|frame| frame.tag == b'D'), "{fault}: {frames:?}");
        let pid = raw.backend();
        raw.leave();
        // The next fault finds no server to spare.
        assert_eq!(stage.scene.look(&format!("SELECT pg_terminate_backend({pid})")), "t");
        stage.until_gone(&pid);
    }
    holder.run("COMMIT");
    drop(holder);
    stage.scene.all_slots_serve(2, CENSUS);
}

/// Two addresses of one upstream: what fails at one is tried at the other.
#[test]
fn an_address_that_fails_is_left_for_the_next() {
    let cluster = scene::cluster(ClusterOptions::default().hba(HBA));
    let ways = [FaultProxy::start(cluster.port()), FaultProxy::start(cluster.port())];
    let [first, second] = [ways[0].port(), ways[1].port()];
    let url = format!("postgres://{APP}@127.0.0.1:{first},127.0.0.1:{second}/{APP}");
    let settings = pool(2) + QUICK;
    let flags = ["upstream.census=off"];
    let mut scene = Scene::with(GATE, cluster, &url, &settings, &flags);
    allow_outage(&mut scene.gate);
    let mut raw = scene.client(scene.gate.transaction);
    for round in 0..4 {
        let (away, there) = (&ways[round % 2], &ways[1 - round % 2]);
        away.refuse();
        away.cut(Which::All, Cut::Fin);
        wait::until("its servers are closed", || (away.connections() == 0).then_some(()));
        // What was idle has gone without anybody's noticing.
        let answer = format!("round {round}");
        assert_eq!(raw.value(&format!("SELECT '{answer}'")), answer);
        assert_eq!(there.connections(), 1);
        away.accept();
    }
    drop(raw);
    scene.all_slots_serve(2, 0);
    let failed = scene.gate.metric("tidegate_server_connect_errors_total", &["transient"]);
    assert!(failed <= 12.0, "{failed} attempts failed");
}

/// Many clients that do not read, each of an answer of 100 MB.
#[test]
fn clients_that_do_not_read_cost_a_bounded_memory_and_their_own_servers() {
    let stage = start(&pool(5));
    let mut other = stage.scene.client(stage.scene.gate.transaction);
    other.run("SELECT 1");
    let before = stage.scene.gate.resident_bytes();
    let mut readers: Vec<_> =
        (0..4).map(|_| stage.scene.client(stage.scene.gate.session)).collect();
    readers.iter_mut().for_each(|raw| raw.query(COPY_OUT));
    // Until PostgreSQL can send no more to any of them.
    let full = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' \
                AND wait_event = 'ClientWrite'";
    stage.scene.until(full, "4");
    for nth in 0..50 {
        assert_eq!(other.value(&format!("SELECT {nth}")), nth.to_string());
    }
    let growth = stage.scene.gate.resident_bytes().saturating_sub(before);
    println!("grew by {growth} bytes");
    assert!(growth < 4 << 20, "the gate grew by {growth} bytes");
    assert_eq!(stage.scene.look(full), "4");
    let reader = readers.pop().expect("there are four");
    let lines = reader.filter(|frame| frame.tag == b'd' || frame.tag == b'Z');
    assert_eq!(lines.take_while(|frame| frame.tag == b'd').count(), 100_000, "it gets all of it");
    drop(readers);
    other.leave();
    stage.scene.all_slots_serve(5, CENSUS);
}

/// Connections that say their login byte by byte, or nothing.
#[test]
fn clients_that_dribble_their_login_hold_nobody_up() {
    let settings = pool(2) + "[timeouts]\nclient_login = \"1s\"\n";
    let stage = start(&settings);
    let mut packet = Vec::new();
    let parameters = [(b"user".as_slice(), b"app".as_slice())];
    startup::push_startup(&mut packet, ProtocolVersion::V3_0, parameters).expect("no zero bytes");
    let mut slow: Vec<_> = (0..200).map(|_| Raw::connect(stage.scene.gate.transaction)).collect();
    for byte in packet[..packet.len() - 1].chunks(1) {
        slow.iter_mut().for_each(|raw| raw.send(byte));
        let (took, ()) = wait::timed(|| other_is_served(&stage));
        assert!(took.as_millis() < 900, "another one waited for {took:?}");
    }
    // Nobody knows whether who has said half a packet would understand an error.
    slow.iter_mut().for_each(|raw| assert_eq!(raw.until_end(), []));
    let rejected = "tidegate_client_connections_rejected_total";
    assert_eq!(stage.scene.gate.metric(rejected, &["reason=\"timeout\""]), 200.0);
    stage.scene.all_slots_serve(2, CENSUS);
}
