//! What clients keep in the gate has limits, each client by itself and all together.

use std::io::{ErrorKind, Write as _};
use std::time::Duration;

use tidegate_testkit::batch::{Batch, Format};
use tidegate_testkit::raw::{Frame, Raw};
use tidegate_testkit::scene::{APP, Scene};
use tidegate_testkit::wait;

const BINARY: &str = env!("CARGO_BIN_EXE_tidegate");
const MIB: u64 = 1024 * 1024;
/// Some read buffers, and what an allocator keeps.
const GROWTH_MAX: u64 = 4 * MIB;

#[test]
fn whoever_takes_no_answers_gets_no_more_of_those_that_cost_no_server() {
    let scene = Scene::start(BINARY, "", &[]);
    let mut client = scene.client(scene.gate.transaction);
    let before = scene.gate.resident_bytes();
    let syncs = Batch::new().sync().bytes().repeat(10_000);
    let patience = Some(Duration::from_secs(2));
    client.stream().set_write_timeout(patience).expect("a time-out");
    let mut sent = 0;
    loop {
        match client.stream().write(&syncs[sent % syncs.len()..]) {
            Ok(bytes) => sent += bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
        // More than the kernel takes for both sides of both connections.
        assert!(sent < 256 << 20, "the gate reads on and on");
    }
    let growth = scene.gate.resident_bytes().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "the gate grew by {growth} bytes");
    // All are answered once they are taken.
    let whole = sent / 5;
    for _ in 0..whole {
        assert_eq!(client.next().expect("an answer").tag, b'Z');
    }
    client.send(&syncs[sent % 5..5]);
    client.send(&syncs[..5]);
    let left = 1 + usize::from(sent % 5 > 0);
    for _ in 0..left {
        assert_eq!(client.next().expect("an answer").tag, b'Z');
    }
    assert_eq!(client.value("SELECT 42"), "42");
}

#[test]
fn notifications_for_whoever_takes_none_are_lost_beyond_a_limit_and_it_is_told() {
    const SENT: usize = 3000;
    let scene = Scene::start(BINARY, "", &[]);
    let mut deaf = scene.client(scene.gate.transaction);
    deaf.run("LISTEN news");
    let mut herald = scene.client(scene.gate.transaction);
    herald.run("SELECT pg_notify('news', repeat('x', 7000))");
    assert_eq!(deaf.next().expect("a notification").tag, b'A');
    let before = scene.gate.resident_bytes();
    for _ in 0..SENT / 100 {
        herald
            .run("SELECT pg_notify('news', n || repeat('x', 7000)) FROM generate_series(1, 100) n");
    }
    scene.until("SELECT pg_notification_queue_usage()", "0");
    let growth = scene.gate.resident_bytes().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "the gate grew by {growth} bytes");
    deaf.query("SELECT 'the end'");
    let mut heard = 0;
    let notice = loop {
        let frame = deaf.next().expect("it goes on");
        match frame.tag {
            b'A' => heard += 1,
            b'N' => break frame,
            _ => {} // The answer; what it could not be told before follows it.
        }
    };
    assert!(notice.field(b'M').contains("notifications may have been lost"));
    assert!((1..SENT).contains(&heard), "{heard}");
    deaf.query("SELECT 'once more'");
    let is_it = |frame: &Frame| frame.body.windows(9).any(|part| part == b"once more");
    while !is_it(&deaf.next().expect("it goes on")) {}
}

// --- All together. ---

/// What clients take of the gate's memory now, in bytes.
fn taken(scene: &Scene, kind: &str) -> u64 {
    scene.gate.metric("tidegate_client_memory_bytes", &[kind]) as u64
}

const CLOSED: &str = "closed the client that takes most of the gate's memory";

/// Servers that are all leased, by clients that take nothing of what they have asked for.
const READERS: usize = 12;

/// Another limit holds from now on.
fn set_limit(scene: &Scene, memory_max: u64) {
    let text = std::fs::read_to_string(scene.gate.settings_file()).expect("its settings");
    let others = text.lines().filter(|line| !line.starts_with("memory_max"));
    let others = others.map(|line| format!("{line}\n")).collect::<String>();
    let kilobytes = memory_max / 1024;
    let limit = format!("[listen]\nmemory_max = \"{kilobytes}kB\"\n");
    let text = others.replace("[listen]\n", &limit);
    std::fs::write(scene.gate.settings_file(), text).expect("they are written");
    scene.gate.signal("HUP");
    let limit = (kilobytes * 1024) as f64;
    scene.until_metric("tidegate_client_memory_max_bytes", &[], limit);
}

#[test]
fn short_of_memory_the_gate_refuses_who_would_need_more_and_then_closes_who_takes_most() {
    let settings =
        format!("plan = \"enterprise\"\n[pool]\npool_size = {READERS}\nmax_overflow = 0\n");
    let mut scene = Scene::start(BINARY, &settings, &[]);
    scene.gate.allow(CLOSED);
    let mut bystander = scene.client(scene.gate.transaction);
    let mut readers: Vec<Raw> = (0..READERS)
        .map(|_| {
            let mut reader = scene.client(scene.gate.session);
            reader.query("SELECT repeat('x', 1048576) FROM generate_series(1, 64)");
            reader
        })
        .collect();
    wait::until_still("the gate stops reading from all servers", || {
        let now = scene.gate.metric("tidegate_network_bytes_total", &["server", "rx"]) as u64;
        Some(now).filter(|_| taken(&scene, "buffers") > READERS as u64 * 64 * 1024)
    });
    let buffers = taken(&scene, "buffers");
    assert!(buffers < READERS as u64 * 300 * 1024, "{buffers}");

    // Short: nobody is closed, and nobody else can make it worse.
    set_limit(&scene, buffers + buffers / 20);
    let mut newcomer = Raw::connect(scene.gate.transaction);
    let refused = newcomer.try_log_in(&[("user", APP), ("database", APP)], "");
    let refused = refused.expect_err("there is no room");
    assert_eq!(refused.sqlstate(), "53200");
    assert!(refused.field(b'D').contains("MB are used"), "{}", refused.field(b'D'));
    let (took, code) = wait::timed(|| bystander.failure("SELECT 42 FROM pg_class LIMIT 1"));
    assert_eq!(code, "53200");
    assert!(took < Duration::from_secs(2), "it waited for {took:?}");
    assert_eq!(scene.gate.metric("tidegate_client_connections_closed_total", &["memory"]), 0.0);
    let rejected =
        scene.gate.metric("tidegate_client_connections_rejected_total", &["transaction", "memory"]);
    assert_eq!(rejected, 1.0);

    // Full: one goes, and that is enough.
    set_limit(&scene, buffers - buffers / 20);
    bystander.query("SELECT 42");
    bystander.tags();
    scene.until_metric("tidegate_client_connections_closed_total", &["\"memory\""], 1.0);
    assert!(scene.gate.has_logged(CLOSED));

    // Whoever takes what it has asked for gets all of it.
    let mut served = 0;
    for reader in &mut readers {
        let mut rows = 0;
        while let Ok(Some(frame)) = reader.try_next() {
            rows += usize::from(frame.tag == b'D');
            if frame.tag == b'Z' {
                served += 1;
                break;
            }
        }
        assert!(rows <= 64);
    }
    assert_eq!(served, READERS - 1);
    assert_eq!(bystander.value("SELECT 42"), "42");
    scene.until_metric("tidegate_client_memory_bytes", &["buffers"], 0.0);
    scene.client(scene.gate.transaction).run("SELECT 1");
}

#[test]
fn beyond_their_half_of_the_memory_statements_are_not_kept_and_work_all_the_same() {
    let scene = Scene::start(BINARY, "", &["listen.memory_max=1MB"]);
    let mut client = scene.client(scene.gate.transaction);
    let sql = |n: usize| format!("SELECT {n} /* {} */", "x".repeat(10_000));
    for n in 0..100 {
        let batch = Batch::new().parse(&format!("s{n}"), &sql(n)).sync();
        client.send(batch.bytes());
        assert_eq!(client.tags(), "1ZI");
    }
    let statements = taken(&scene, "statements");
    assert!((500_000..550_000).contains(&statements), "{statements}");
    assert_eq!(scene.gate.metric("tidegate_pins_total", &["prepared"]), 1.0);
    for n in [0, 50, 99] {
        let batch = Batch::new().bind(&format!("s{n}"), &[], Format::Text).execute(0).sync();
        let frames = client.exchange(&batch, 1);
        let tags: String = frames.iter().map(|frame| char::from(frame.tag)).collect();
        assert_eq!(tags, "2DCZ");
    }
    drop(client);
    scene.until_metric("tidegate_client_memory_bytes", &["statements"], 0.0);
}
