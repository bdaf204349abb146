//! The hard budget, under load: the plan's limit is never exceeded, nobody is refused, everybody
//! is served.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tidegate_scratch::{Cluster, ClusterOptions, Installation};
use tidegate_testkit::gate::Gate;
use tidegate_testkit::raw::Raw;
use tidegate_testkit::wait;

const CLIENTS: usize = 300;
const BUDGET: u32 = 15;
const DURATION: Duration = Duration::from_secs(60);
/// Passwords are no part of this; hashing them would be most of the work.
const HBA: &str = "local all all trust\nhost all all 127.0.0.1/32 trust\n";

fn cluster(max_connections: u32) -> Cluster {
    let options = ClusterOptions::default()
        .setting("max_connections", max_connections.to_string())
        .setting("superuser_reserved_connections", "3")
        .hba(HBA);
    let postgres = Installation::find().expect("PostgreSQL is installed");
    let cluster = Cluster::start(&postgres, options).expect("a cluster starts");
    cluster.sql("CREATE ROLE app LOGIN").expect("a role");
    cluster.sql("CREATE DATABASE app OWNER app").expect("a database");
    cluster
}

struct Outcome {
    most_seen: u64,
    looks: u32,
    transactions: Vec<u64>,
    vanished: u64,
}

/// Three hundred clients on both ports, each of which connects anew every ten transactions and
/// vanishes in the midst of one now and then.
fn load(mut superuser: Raw, gate: &Gate) -> Outcome {
    let stop = Arc::new(AtomicBool::new(false));
    let vanished = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (stop, vanished) = (stop.clone(), vanished.clone());
            let port = if number % 2 == 0 { gate.session } else { gate.transaction };
            std::thread::spawn(move || client(number, port, &stop, &vanished))
        })
        .collect();
    let elapsed = wait::stopwatch();
    let mut most_seen = 0;
    let looks = wait::poll_every(
        Duration::from_millis(10),
        || {
            let count = superuser
                .value("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'")
                .parse()
                .expect("a number");
            most_seen = most_seen.max(count);
        },
        || elapsed() >= DURATION,
    );
    stop.store(true, Ordering::Relaxed);
    let transactions =
        clients.into_iter().map(|client| client.join().expect("no client fails")).collect();
    Outcome { most_seen, looks, transactions, vanished: vanished.load(Ordering::Relaxed) }
}

/// Says how many transactions it got through. Panics at the first error.
fn client(number: usize, port: u16, stop: &AtomicBool, vanished: &AtomicU64) -> u64 {
    let mut transactions = 0;
    let mut connections = number;
    while !stop.load(Ordering::Relaxed) {
        connections += 1;
        let mut raw = Raw::log_in(port, "app", "", "app");
        for nth in 0..10 {
            raw.query("BEGIN; SELECT 1");
            assert_eq!(raw.tags(), "CTDCZT");
            if nth == 7 && connections.is_multiple_of(3) {
                // Gone without a word, now and then in the midst of a statement.
                if connections.is_multiple_of(2) {
                    raw.query("SELECT pg_sleep(10)");
                }
                vanished.fetch_add(1, Ordering::Relaxed);
                break;
            }
            raw.query("SELECT pg_sleep(0.001)");
            assert_eq!(raw.tags(), "TDCZT");
            raw.query("COMMIT");
            assert_eq!(raw.tags(), "CZI");
            transactions += 1;
        }
    }
    transactions
}

fn check(outcome: &Outcome) {
    println!(
        "most connections seen in {} looks: {}; transactions {}, fewest of a client {}, vanished {}",
        outcome.looks,
        outcome.most_seen,
        outcome.transactions.iter().sum::<u64>(),
        outcome.transactions.iter().min().expect("there are clients"),
        outcome.vanished,
    );
    assert!(outcome.looks > 1000, "only {} looks in {DURATION:?}", outcome.looks);
    assert!(outcome.most_seen <= u64::from(BUDGET), "{} connections", outcome.most_seen);
    assert!(outcome.most_seen > 5, "the load must need more than {}", outcome.most_seen);
    assert!(outcome.vanished > 0);
    assert!(outcome.transactions.iter().all(|count| *count > 0), "somebody was never served");
}

#[test]
fn the_plan_is_never_exceeded_and_everybody_is_served() {
    let cluster = cluster(100);
    let superuser = Raw::log_in(cluster.port(), "postgres", "", "postgres");
    let url = format!("postgres://app@127.0.0.1:{}/app", cluster.port());
    let gate = Gate::start(env!("CARGO_BIN_EXE_tidegate"), &url, "plan = \"free\"", &[]);
    check(&load(superuser, &gate));
}

#[test]
fn a_server_with_just_as_many_places_never_refuses() {
    let cluster = cluster(BUDGET + 3);
    // Connected before the gate starts, so that the census counts it from the beginning: with no
    // headroom there is not one place to spare.
    let superuser = Raw::log_in(cluster.port(), "postgres", "", "postgres");
    let url = format!("postgres://app@127.0.0.1:{}/app", cluster.port());
    let flags = ["upstream.headroom=0"];
    let gate = Gate::start(env!("CARGO_BIN_EXE_tidegate"), &url, "plan = \"free\"", &flags);
    check(&load(superuser, &gate));
    let log = cluster.log_text();
    for words in ["remaining connection slots", "too many clients", "too many connections"] {
        assert!(!log.contains(words), "PostgreSQL has refused a connection: {words}");
    }
}
