//! More connections than there may be clients, and many more than there are servers.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tidegate_testkit::raw::Raw;
use tidegate_testkit::scene::{APP, Scene};
use tidegate_testkit::wait;

const CONNECTIONS: usize = 12_000;
const CLIENTS_MAX: usize = 10_000;
/// The plan's limit.
const BUDGET: u64 = 15;
/// Resident memory of the gate per idle client. Release builds need no less: it is data.
const BYTES_PER_CLIENT_MAX: u64 = 4096;
/// What the test itself needs beside its connections.
const OTHER_DESCRIPTORS: u64 = 100;

fn raise_descriptors() {
    let now = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum })
        .expect("a process may raise its own limit");
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let needed = CONNECTIONS as u64 + OTHER_DESCRIPTORS;
    assert!(limit >= needed, "this test needs `ulimit -Hn` to be {needed}, not {limit}");
}

/// Sends each client's statement before any answer is read, and counts the right answers.
fn all_select_one(clients: &mut [Raw]) -> usize {
    clients.iter_mut().for_each(|raw| raw.query("SELECT 1"));
    clients.iter_mut().map(Raw::tags).filter(|tags| tags == "TDCZI").count()
}

#[test]
fn ten_thousand_of_twelve_thousand_are_served_by_fifteen_servers_and_the_rest_are_told() {
    raise_descriptors();
    let scene = Scene::start(
        env!("CARGO_BIN_EXE_tidegate"),
        "plan = \"free\"",
        &["listen.clients_max=10000"],
    );
    let port = scene.gate.transaction;
    drop(scene.client(port)); // Everything that is made once is there.
    scene.until_metric("tidegate_client_connections", &[], 0.0);
    let before = scene.gate.resident_bytes();

    let elapsed = wait::stopwatch();
    let mut connections: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let mut raw = Raw::connect(port);
            raw.start(&[("user", APP), ("database", APP)]);
            raw
        })
        .collect();
    let mut refusals = Vec::new();
    let mut clients = Vec::new();
    for mut raw in connections.drain(..) {
        let frames = raw.until_ready();
        match frames.iter().find(|frame| frame.tag == b'E') {
            Some(error) => refusals.push((error.clone(), raw)),
            None => {
                assert_eq!(frames.last().map(|frame| frame.tag), Some(b'Z'));
                clients.push(raw);
            }
        }
    }
    println!("{CONNECTIONS} connections were answered within {:?}", elapsed());
    assert_eq!(clients.len(), CLIENTS_MAX);
    assert_eq!(refusals.len(), CONNECTIONS - CLIENTS_MAX);
    for (error, _) in &refusals {
        assert_eq!((error.field(b'S').as_str(), error.sqlstate().as_str()), ("FATAL", "53300"));
        assert!(error.field(b'H').ends_with("(TG005)"), "{error:?}");
        assert!(error.field(b'D').contains("10000"), "{error:?}");
    }
    let rejected = "tidegate_client_connections_rejected_total";
    scene.until_metric(rejected, &["max_client"], refusals.len() as f64);
    drop(refusals);

    let idle = scene.gate.resident_bytes();
    let elapsed = wait::stopwatch();
    assert_eq!(all_select_one(&mut clients), CLIENTS_MAX);
    println!("{CLIENTS_MAX} statements were answered within {:?}", elapsed());
    let served = scene.gate.resident_bytes();
    for (when, bytes) in [("before", idle), ("after", served)] {
        let per_client = bytes.saturating_sub(before) / CLIENTS_MAX as u64;
        println!("resident bytes per idle client, {when} its first statement: {per_client}");
        assert!(per_client < BYTES_PER_CLIENT_MAX, "{per_client} bytes per client");
    }
    let backends = scene.look("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'");
    let backends: u64 = backends.parse().expect("a number");
    assert!((1..=BUDGET).contains(&backends), "{backends} backends");

    // A place that becomes free is given away again.
    drop(clients.pop());
    let mut next = wait::until("there is a place again", || {
        let mut raw = Raw::connect(port);
        raw.try_log_in(&[("user", APP), ("database", APP)], "").ok().map(|()| raw)
    });
    assert_eq!(next.value("SELECT 1"), "1");
    // The control plane answers as ever.
    let mut http = TcpStream::connect(("127.0.0.1", scene.gate.http)).expect("http answers");
    http.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").expect("the request is sent");
    let mut answer = String::new();
    http.read_to_string(&mut answer).expect("an answer");
    assert!(answer.contains(" 200 "), "{answer}");
}
