//! Resources are used up: the disk of PostgreSQL, the file descriptors of the gate; and
//! applications that crash in a loop.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use socket2::SockRef;
use tempfile::TempDir;
use tidegate_testkit::raw::Raw;
use tidegate_testkit::scene::{APP, Scene};
use tidegate_testkit::wait;

use crate::stage::{CENSUS, GATE, QUICK, code, error_in, fails, pool, refusal};

/// `/dev/full` is what a full disk looks like to who writes (full(4)), so PostgreSQL meets a real
/// ENOSPC, for which no file system need be filled.
#[test]
fn a_full_disk_is_told_in_postgresqls_words_and_costs_nobody_else_anything() {
    let scene = Scene::start(GATE, &pool(2), &[]);
    scene.cluster.sql("GRANT pg_write_server_files TO app").expect("it is granted");
    let sql = "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 1000)) TO '/dev/full'";
    for port in scene.ports() {
        let mut raw = scene.client(port);
        let mut other = scene.client(scene.gate.transaction);
        raw.begin();
        let error = fails(&mut raw, sql);
        assert_eq!(code(&error), "ERROR 53100");
        assert!(error.field(b'M').contains("No space left on device"), "{error:?}");
        assert_eq!(other.value("SELECT 'other'"), "other");
        // Its transaction has failed, and is its own.
        assert_eq!(raw.failure("SELECT 1"), "25P02");
        raw.run("ROLLBACK");
        assert_eq!(raw.value("SELECT 'goes on'"), "goes on");
        raw.leave();
        other.leave();
        scene.all_slots_serve(2, CENSUS);
    }
}

/// What the gate needs beside its clients (`limits.rs`): 1024 logins, 8 places of the console, two for
/// each of the plan's 15 servers, and 128 others.
const DESCRIPTORS_FIXED: u64 = 1024 + 8 + 2 * 15 + 128;

#[test]
fn few_descriptors_mean_few_clients_and_the_rest_are_told() {
    let folder = TempDir::new().expect("a temporary folder");
    let limited = folder.path().join("limited");
    let script = format!("#!/bin/sh\nulimit -n {}\nexec {GATE} \"$@\"\n", DESCRIPTORS_FIXED + 10);
    std::fs::write(&limited, script).expect("it is written");
    let mode = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(&limited, mode).expect("it is ours");
    let binary = limited.to_str().expect("the path is text");
    let mut scene = Scene::start(binary, &pool(2), &[]);
    scene.gate.allow("file descriptors are short");
    assert_eq!(scene.gate.metric("tidegate_client_connections_max", &[]), 10.0);
    let mut clients: Vec<_> = (0..10).map(|_| scene.client(scene.gate.transaction)).collect();
    for port in scene.ports() {
        let error = refusal(port, "", APP).expect("there is no room");
        assert_eq!(code(&error), "FATAL 53300 TG005");
    }
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.value(&format!("SELECT {number}")), number.to_string());
    }
    clients.truncate(5);
    scene.until_metric("tidegate_client_connections", &[], 5.0);
    assert_eq!(scene.client(scene.gate.session).value("SELECT 'room'"), "room");
    clients.clear();
    scene.all_slots_serve(2, CENSUS);
}

/// The most that the gate may use of a core when it has nothing but refusals to hand out.
const BUSY_MAX: f64 = 0.25;

/// Descriptors run out under a gate that runs, as when a neighbour in the same container takes them.
#[test]
fn without_a_descriptor_the_gate_refuses_serves_and_does_not_spin() {
    let mut scene = Scene::start(GATE, &(pool(3) + QUICK), &["upstream.census=1h"]);
    scene.gate.allow("out of file descriptors").allow("can't open a server");
    let mut clients: Vec<_> = (0..4).map(|_| scene.client(scene.gate.transaction)).collect();
    clients[0].begin();
    let pid = Pid::from_raw(scene.gate.pid().try_into().expect("a pid")).expect("a pid");
    let folder = format!("/proc/{}/fd", scene.gate.pid());
    // The kernel gives the lowest number that is free; one that was inherited may be far above.
    let lowest = || {
        let names = std::fs::read_dir(&folder).expect("the gate runs").flatten();
        let taken: BTreeSet<u64> =
            names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        (0..).find(|number| !taken.contains(number))
    };
    // The connection of a look at metrics is closed a moment after its end.
    let mut last = None;
    let limit = wait::until("descriptors are at rest", || {
        let now = lowest();
        let is_still = now == last;
        last = now;
        is_still.then_some(now).flatten()
    });
    // The gate has raised its limit to the hard one, which is ours as well.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let few = Rlimit { current: Some(limit), maximum };
    let before = prlimit(Some(pid), Resource::Nofile, few).expect("we may");

    let cpu = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", scene.gate.pid()));
        let stat = stat.expect("the gate runs");
        let (_, rest) = stat.rsplit_once(')').expect("a name");
        let ticks = rest.split_whitespace().skip(11).take(2);
        ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND
    };
    // Some find a descriptor below the limit; whoever comes behind them is told, one after another.
    let mut told = 0;
    while told < 20 {
        let mut raw = Raw::connect(scene.gate.transaction);
        raw.start(&[("user", APP), ("database", APP)]);
        let frames = raw.until_ready();
        if frames.last().is_some_and(|frame| frame.tag == b'Z') {
            assert!(clients.len() < 40, "the limit is not in force");
            clients.push(raw);
        } else {
            assert_eq!(code(&error_in(&frames)), "FATAL 53300 TG005");
            told += 1;
        }
    }
    // Those that are there are served by the servers that are there.
    for nth in 0..20 {
        assert_eq!(clients[0].value(&format!("SELECT {nth}")), nth.to_string());
    }
    // Connections that wait do not keep the gate busy.
    let crowd: Vec<_> = (0..50)
        .map(|_| TcpStream::connect(("127.0.0.1", scene.gate.transaction)).expect("the kernel"))
        .collect();
    let http = TcpStream::connect(("127.0.0.1", scene.gate.http)).expect("the kernel");
    let elapsed = wait::stopwatch();
    let used = cpu();
    wait::until("two seconds", || (elapsed() > Duration::from_secs(2)).then_some(()));
    let share = (cpu() - used) / elapsed().as_secs_f64();
    println!("it used {share:.3} of a core");
    assert!(share < BUSY_MAX, "it used {share} of a core");
    drop((crowd, http));

    prlimit(Some(pid), Resource::Nofile, before).expect("we may");
    clients[0].run("COMMIT");
    for (nth, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.value(&format!("SELECT 'own {nth}'")), format!("own {nth}"));
    }
    drop(clients);
    scene.all_slots_serve(3, CENSUS);
    let rejected = "tidegate_client_connections_rejected_total";
    assert!(scene.gate.metric(rejected, &["max_client"]) >= f64::from(told));
}

/// `sysconf(_SC_CLK_TCK)`: 100 on all of Linux's architectures.
const TICKS_PER_SECOND: f64 = 100.0;

/// A hundred applications that crash in the midst of a statement, one lot after another.
#[test]
fn applications_that_crash_in_a_loop_do_not_become_a_storm_of_dials() {
    const LOT: usize = 20;
    let settings = "plan = \"free\"\n[pool]\npool_size = 10\nmax_overflow = 5\n".to_owned() + QUICK;
    let scene = Scene::start(GATE, &settings, &[]);
    // Of the plan's fifteen the census has one, and the superuser another.
    scene.until_metric("tidegate_budget_connections", &[], 14.0);
    let servers = 13;
    let mut crashed = 0;
    while crashed < 100 {
        let mut lot: Vec<_> = (0..LOT)
            .map(|nth| {
                let mut raw = scene.client(scene.ports()[nth % 2]);
                // Those behind them have to wait.
                if nth < servers / 2 {
                    raw.run("BEGIN; CREATE TEMP TABLE left_over (a int)");
                }
                raw.query("SELECT pg_sleep(100)");
                raw
            })
            .collect();
        scene.until_running(servers as u32, "pg_sleep(100)");
        scene.until_waiting((LOT - servers) as u32);
        for (nth, raw) in lot.drain(..).enumerate() {
            if nth % 2 == 0 {
                // As a process that is killed with something unread.
                SockRef::from(raw.stream()).set_linger(Some(Duration::ZERO)).expect("it is set");
            }
            drop(raw);
            crashed += 1;
        }
        scene.until_metric("tidegate_client_connections", &[], 0.0);
    }
    scene.until(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(100)%' \
                 AND state = 'active' AND usename = 'app'",
        "0",
    );
    let opened = scene.gate.metric("tidegate_server_connections_opened_total", &[]);
    println!("{crashed} crashed, {opened} servers were opened");
    // Servers are recovered, not replaced: there are as many as the plan has places.
    assert!(opened <= servers as f64, "{opened} servers were opened");
    assert_eq!(scene.look("SELECT count(*) FROM pg_class WHERE relname = 'left_over'"), "0");
    scene.all_slots_serve(servers, CENSUS);
}
