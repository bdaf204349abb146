//! LISTEN on the transaction port: one server hears for all, and nobody notices.

use std::sync::atomic::{AtomicBool, Ordering};

use tidegate_testkit::raw::{Frame, Raw};
use tidegate_testkit::scene::{ONE_SERVER, Scene};
use tidegate_testkit::wait;

/// Two servers, of which one may listen.
const TWO_SERVERS: &str = "plan = \"free\"\n[pool]\npool_size = 2\nmax_overflow = 0\n";

fn scene(settings: &str) -> Scene {
    Scene::start(env!("CARGO_BIN_EXE_tidegate"), settings, &[])
}

/// The payload of the next notification, which must be the next message.
fn told(raw: &mut Raw) -> String {
    let frame = raw.next().expect("a notification comes");
    payload(&frame)
}

fn payload(frame: &Frame) -> String {
    assert_eq!(frame.tag, b'A', "{frame:?}");
    let mut strings = frame.body[4..].split(|byte| *byte == 0);
    let payload = strings.nth(1).expect("a payload");
    String::from_utf8_lossy(payload).into_owned()
}

/// Until one server listens for so many clients, and none of them keeps its own.
fn until_moved(scene: &Scene, clients: f64) {
    scene.until_metric("tidegate_listening", &[], clients);
    scene.until_metric("tidegate_pinned", &[], 0.0);
}

#[test]
fn many_clients_listen_by_one_server() {
    let scene = scene(TWO_SERVERS);
    let mut listeners: Vec<_> = (0..20).map(|_| scene.client(scene.gate.transaction)).collect();
    for (place, listener) in listeners.iter_mut().enumerate() {
        listener.run(&format!("LISTEN news; LISTEN own_{place}"));
        until_moved(&scene, place as f64 + 1.0);
    }
    let mut other = scene.client(scene.gate.transaction);
    other.run("NOTIFY news, 'one'");
    other.run("NOTIFY own_7, 'seven'; NOTIFY news, 'two'");
    for (place, listener) in listeners.iter_mut().enumerate() {
        assert_eq!(told(listener), "one");
        if place == 7 {
            assert_eq!(told(listener), "seven");
        }
        assert_eq!(told(listener), "two");
        assert_eq!(listener.value("SELECT 1"), "1", "and nothing comes twice");
    }
    // Two servers, and the census.
    assert_eq!(scene.look("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'"), "3");
}

#[test]
fn a_client_is_told_between_its_transactions_and_of_its_own_too() {
    let scene = scene("plan = \"free\"\n[pool]\npool_size = 3\nmax_overflow = 0\n");
    let mut one = scene.client(scene.gate.transaction);
    let mut two = scene.client(scene.gate.transaction);
    one.run("LISTEN news");
    until_moved(&scene, 1.0);
    one.query("NOTIFY news, 'mine'");
    assert_eq!(one.tags(), "CZI");
    assert_eq!(told(&mut one), "mine");
    // A transaction that has only begun, one with a server, and one that fails.
    for begin in ["BEGIN", "BEGIN; SELECT 1", "BEGIN; SELECT 1/0"] {
        one.query(begin);
        one.until_ready();
        two.run("NOTIFY news, 'later'");
        one.query("SELECT 1");
        assert!(!one.tags().contains('A'), "within the transaction nothing is told");
        one.run("ROLLBACK");
        assert_eq!(told(&mut one), "later");
    }
}

#[test]
fn listening_is_transactional_and_ends() {
    let scene = scene(ONE_SERVER);
    let mut one = scene.client(scene.gate.transaction);
    let mut two = scene.client(scene.gate.transaction);
    one.run("BEGIN; LISTEN never; ROLLBACK");
    two.run("NOTIFY never");
    assert_eq!(one.value("SELECT 1"), "1");
    // The only server can't serve all at once: its client keeps it, until it listens no more.
    for ends in ["UNLISTEN news", "UNLISTEN *", "DISCARD ALL"] {
        one.run("LISTEN news");
        two.query("NOTIFY news");
        scene.until_waiting(1);
        one.query(ends);
        one.until_ready();
        assert_eq!(two.tags(), "CZI", "after {ends}");
        assert_eq!(one.value("SELECT 1"), "1");
    }
}

#[test]
fn the_listening_server_is_given_back_when_nobody_listens_any_more() {
    let scene = scene(TWO_SERVERS);
    let mut one = scene.client(scene.gate.transaction);
    let mut holder = scene.client(scene.gate.transaction);
    let mut two = scene.client(scene.gate.transaction);
    for ends in ["UNLISTEN news", "UNLISTEN *", "DISCARD ALL", ""] {
        one.run("LISTEN news");
        until_moved(&scene, 1.0);
        if ends.is_empty() {
            one.leave();
            one = scene.client(scene.gate.transaction);
        } else {
            one.run("BEGIN; UNLISTEN news; ROLLBACK");
            assert_eq!(scene.gate.metric("tidegate_listening", &[]), 1.0);
            one.run(ends);
        }
        until_moved(&scene, 0.0);
        holder.begin();
        assert_eq!(two.value("SELECT 1"), "1", "after {ends}");
        holder.run("ROLLBACK");
    }
}

/// While somebody notifies without pause, clients begin to listen: each hears all from some point
/// on, nothing twice, in order.
#[test]
fn nothing_is_lost_or_told_twice_when_listening_moves() {
    let scene = scene("plan = \"free\"\n[pool]\npool_size = 6\nmax_overflow = 0\n");
    let stop = AtomicBool::new(false);
    let stop = &stop;
    let mut raw = scene.client(scene.cluster.port());
    std::thread::scope(|threads| {
        let notifier = threads.spawn(move || {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                count += 1;
                raw.run(&format!("NOTIFY news, '{count}'"));
            }
            raw.run("NOTIFY news, 'end'");
            count
        });
        let listeners: Vec<_> = (0..12)
            .map(|_| {
                let mut raw = scene.client(scene.gate.transaction);
                raw.query("LISTEN news");
                let mut numbers = Vec::new();
                let take = |frame: Frame, numbers: &mut Vec<String>| {
                    if frame.tag == b'A' {
                        numbers.push(payload(&frame));
                    }
                };
                raw.until_ready().into_iter().for_each(|frame| take(frame, &mut numbers));
                // Statements of its own go on meanwhile.
                for _ in 0..5 {
                    raw.query("SELECT 1");
                    raw.until_ready().into_iter().for_each(|frame| take(frame, &mut numbers));
                }
                (raw, numbers)
            })
            .collect();
        until_moved(&scene, 12.0);
        stop.store(true, Ordering::Relaxed);
        let last: u64 = notifier.join().expect("the notifier ends");
        for (mut raw, mut numbers) in listeners {
            while numbers.last().is_none_or(|last| last != "end") {
                numbers.push(told(&mut raw));
            }
            numbers.pop();
            let numbers: Vec<u64> =
                numbers.iter().map(|number| number.parse().expect("a number")).collect();
            let first = numbers.first().copied().unwrap_or(last + 1);
            assert_eq!(numbers, (first..=last).collect::<Vec<_>>());
        }
    });
}

#[test]
fn who_listens_is_told_of_a_loss_and_hears_again() {
    let mut scene = scene(TWO_SERVERS);
    scene.gate.allow("the server that listens for its database was lost");
    let mut one = scene.client(scene.gate.transaction);
    let mut two = scene.client(scene.gate.transaction);
    for (raw, clients) in [(&mut one, 1.0), (&mut two, 2.0)] {
        raw.run("LISTEN news");
        until_moved(&scene, clients);
    }
    // The listening server has sent the last marker.
    let listening = "FROM pg_stat_activity WHERE usename = 'app' AND query LIKE '%NOTIFY tide%'";
    scene.until(&format!("SELECT count(*) {listening}"), "1");
    scene.look(&format!("SELECT pg_terminate_backend(pid) {listening}"));
    for raw in [&mut one, &mut two] {
        let notice = raw.next().expect("a notice comes");
        assert_eq!((notice.tag, notice.sqlstate().as_str()), (b'N', "01000"));
        assert!(notice.field(b'H').ends_with("(TG026)"), "{}", notice.field(b'H'));
    }
    // What is notified before the new server listens is lost, so it is said until it is heard.
    let mut heard = false;
    wait::until("notifications come again", || {
        let mut other = scene.client(scene.gate.session);
        other.run("NOTIFY news, 'again'");
        other.leave();
        one.query("SELECT 1");
        heard |= one.until_ready().iter().any(|frame| frame.tag == b'A');
        heard.then_some(())
    });
    assert_eq!(told(&mut two), "again");
}
