//! What clients keep in the gate has limits, each client by itself and all together.

use std::io::{ErrorKind, Write as _};
use std::time::Duration;

use tidegate_testkit::batch::Batch;
use tidegate_testkit::scene::Scene;

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
            tag => panic!("{}", char::from(tag)),
        }
    };
    assert!(notice.field(b'M').contains("notifications may have been lost"));
    assert!((1..SENT).contains(&heard), "{heard}");
    // What came after the loss was told may follow; nothing within the answer.
    assert_eq!(deaf.tags().trim_start_matches('A'), "TDCZI");
}
