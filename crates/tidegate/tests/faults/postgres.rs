//! PostgreSQL's processes are killed, stopped, and started again.

use std::time::Duration;

use tidegate_scratch::StopMode;
use tidegate_testkit::processes;
use tidegate_testkit::raw::Raw;
use tidegate_testkit::scene::Scene;
use tidegate_testkit::wait;

use crate::load::{Load, Told};
use crate::stage::{CENSUS, CLOSED, GATE, QUICK, allow_outage, code, fails, last_words, pool};

/// What clients with something under way are told when PostgreSQL ends them, or breaks: its own
/// words where it had any, and ours; and whoever had sent a COMMIT, that it is in doubt.
const LOSSES: [&str; 4] = ["FATAL 57P01", "FATAL 57P02", "FATAL 08006 TG013", "FATAL 08007 TG032"];

/// Each client was told at most once for each time that PostgreSQL went, and nothing else.
fn assert_told_once(told: &[Told], outages: u32) {
    println!("{told:?}");
    for client in told {
        assert!(client.errors() <= outages, "{client:?}");
        assert_eq!(client.silent, 0, "{client:?}");
        for code in client.codes.keys() {
            assert!(LOSSES.contains(&code.as_str()), "{client:?}");
        }
    }
    assert!(told.iter().any(|client| client.errors() > 0), "nothing was under way");
}

#[test]
fn a_backend_that_is_killed_takes_all_with_it_and_postgresql_recovers() {
    let mut scene = Scene::start(GATE, &(pool(4) + QUICK), &[]);
    allow_outage(&mut scene.gate);
    let mut victim = scene.client(scene.gate.session);
    let pid = victim.backend();
    victim.query("SELECT pg_sleep(100)");
    let mut bystander = scene.client(scene.gate.transaction);
    bystander.query("SELECT pg_sleep(101)");
    scene.until_running(2, "pg_sleep(10");
    let mut idle = scene.client(scene.gate.transaction);
    idle.run("SELECT 1");
    let load = Load::start(&scene, 3);
    let before = scene.gate.metric(CLOSED, &["reason=\"upstream\""]);

    processes::signal(&pid, "KILL");
    // The one that was killed had no words left.
    assert_eq!(code(&last_words(&mut victim)), "FATAL 08006 TG013");
    let error = last_words(&mut bystander);
    assert_eq!(code(&error), "FATAL 08006 TG013", "{error:?}");
    assert!(error.field(b'D').contains("may or may not have been executed"), "{error:?}");
    assert_eq!(idle.value("SELECT 'goes on'"), "goes on");
    load.until_more(50);
    assert_told_once(&load.end(), 1);
    scene.look_anew();
    let lost = scene.gate.metric(CLOSED, &["reason=\"upstream\""]) - before;
    assert!((2.0..=4.0).contains(&lost), "{lost} servers were lost");
    drop(idle);
    scene.all_slots_serve(4, CENSUS);
}

#[test]
fn a_postmaster_that_is_killed_and_started_again_is_dialed_until_it_answers() {
    let mut scene = Scene::start(GATE, &(pool(3) + QUICK), &[]);
    allow_outage(&mut scene.gate);
    let mut busy = scene.client(scene.gate.transaction);
    busy.query("SELECT pg_sleep(100)");
    scene.until_running(1, "pg_sleep(100)");
    let mut idle = scene.client(scene.gate.transaction);
    idle.run("SELECT 1");

    processes::signal(scene.cluster.postmaster_pid().expect("it runs"), "KILL");
    // Its backends end when they find out.
    assert_eq!(code(&last_words(&mut busy)), "FATAL 08006 TG013");
    scene.until_metric(CLOSED, &["reason=\"upstream\""], 2.0);
    idle.query("SELECT 'waits for it'");
    scene.until_waiting(1);
    let failed = "tidegate_server_connect_errors_total";
    wait::until("the gate tries", || {
        (scene.gate.metric(failed, &["transient"]) >= 2.0).then_some(())
    });
    // Not before the last of them has gone.
    wait::until("it starts", || scene.cluster.start_again().ok());
    assert_eq!(idle.next().map(|frame| frame.tag), Some(b'T'));
    let row = idle.next().expect("a row");
    assert_eq!(&row.body[6..], b"waits for it");
    idle.until_ready();
    scene.look_anew();
    drop(idle);
    scene.all_slots_serve(3, CENSUS);
}

#[test]
fn an_immediate_restart_under_load_costs_each_client_one_error_at_most() {
    let mut scene = Scene::start(GATE, &(pool(5) + QUICK), &[]);
    allow_outage(&mut scene.gate);
    let load = Load::start(&scene, 8);
    for _ in 0..2 {
        scene.cluster.restart(StopMode::Immediate).expect("it restarts");
        load.until_more(200);
    }
    assert_told_once(&load.end(), 2);
    scene.look_anew();
    scene.all_slots_serve(5, CENSUS);
    assert_eq!(scene.gate.metric("tidegate_checkouts_total", &["outcome=\"timeout\""]), 0.0);
}

#[test]
fn a_backend_that_stands_still_costs_its_client_and_its_slot_until_it_has_gone() {
    let settings = pool(4) + "[timeouts]\nquery = \"500ms\"\ncancel = \"500ms\"\n";
    let mut scene = Scene::start(GATE, &settings, &["upstream.census=200ms"]);
    scene.gate.allow("cancelled a statement that took too long");
    scene.gate.allow("closed a client whose statement did not end when it was cancelled");
    scene.gate.allow("a server did not answer in time");
    let mut victims = scene.ports().map(|port| scene.client(port));
    let mut pids = Vec::new();
    for victim in &mut victims {
        victim.begin();
        let pid = victim.backend();
        processes::signal(&pid, "STOP");
        pids.push(pid);
        // The kernel takes the statement, and nobody reads it.
        victim.query("SELECT 'never read'");
    }
    let mut others: Vec<_> = (0..2).map(|_| scene.client(scene.gate.transaction)).collect();
    others.iter_mut().for_each(Raw::begin);
    for victim in &mut victims {
        assert_eq!(code(&last_words(victim)), "FATAL 57014 TG029");
    }
    let mut waiter = scene.client(scene.gate.transaction);
    waiter.query("SELECT 'has waited'");
    scene.until_waiting(1);
    others[0].run("COMMIT");
    assert_eq!(waiter.next().map(|frame| frame.tag), Some(b'T'), "the others are enough");
    waiter.until_ready();
    others[1].run("COMMIT");
    // They are recovered in vain, then closed, and count for as long as they are there.
    scene.until_metric("tidegate_server_connections", &["\"closing\""], 2.0);
    let used = scene.gate.metric("tidegate_budget_used_connections", &[]);
    assert_eq!(used, (4 + CENSUS) as f64);
    for pid in &pids {
        processes::signal(pid, "CONT");
        scene.until(&format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}"), "0");
    }
    drop((others, waiter));
    scene.all_slots_serve(4, CENSUS);
    assert_eq!(scene.gate.metric("tidegate_timeouts_total", &["kind=\"query\""]), 2.0);
    assert_eq!(scene.gate.metric(CLOSED, &["reason=\"recovery\""]), 2.0);
}

#[test]
fn a_clients_own_cancel_is_heard_when_its_backend_goes_on() {
    let scene = Scene::start(GATE, &pool(2), &[]);
    for port in scene.ports() {
        let mut victim = scene.client(port);
        let pid = victim.backend();
        victim.query("SELECT pg_sleep(60)");
        scene.until_running(1, "pg_sleep(60)");
        processes::signal(&pid, "STOP");
        victim.cancel(port);
        assert_eq!(scene.client(scene.gate.transaction).value("SELECT 'other'"), "other");
        let cancelled = "tidegate_cancel_requests_total";
        assert!(scene.gate.metric(cancelled, &["outcome=\"forwarded\""]) > 0.0);
        processes::signal(&pid, "CONT");
        assert_eq!(victim.ends_with_error(), "57014");
        assert_eq!(victim.value("SELECT 'goes on'"), "goes on");
        victim.leave();
        scene.all_slots_serve(2, CENSUS);
    }
}

/// The kernel accepts for a postmaster that stands still; nobody answers the login.
#[test]
fn a_postmaster_that_stands_still_hurts_only_who_needs_another_server() {
    let settings = "plan = \"free\"\n[pool]\npool_size = 4\nmax_overflow = 0\n\
                    pool_timeout = \"3s\"\n[timeouts]\nconnect = \"400ms\"\n"
        .to_owned()
        + QUICK;
    let mut scene = Scene::start(GATE, &settings, &["upstream.census=200ms"]);
    allow_outage(&mut scene.gate);
    let mut warm: Vec<_> = (0..2).map(|_| scene.client(scene.gate.transaction)).collect();
    warm.iter_mut().for_each(Raw::begin);
    let postmaster = scene.cluster.postmaster_pid().expect("it runs");
    processes::signal(postmaster, "STOP");

    let mut needs_another = scene.client(scene.gate.transaction);
    let (took, error) = wait::timed(|| fails(&mut needs_another, "SELECT 1"));
    // Not that nothing can be reached: two servers serve.
    assert_eq!(code(&error), "ERROR 53300 TG001");
    assert!(error.field(b'D').contains("the login was not answered within 400ms"), "{error:?}");
    assert!(took >= Duration::from_millis(2900), "it was told after {took:?}");
    assert!(took < Duration::from_secs(10), "it was told after {took:?}");
    for client in &mut warm {
        assert_eq!(client.value("SELECT 'serves'"), "serves");
        client.run("COMMIT");
    }
    // A server that is free is as good as a new one.
    assert_eq!(needs_another.value("SELECT 'served'"), "served");
    let failed = scene.gate.metric("tidegate_server_connect_errors_total", &["transient"]);
    assert!((1.0..=20.0).contains(&failed), "{failed} attempts");

    processes::signal(postmaster, "CONT");
    drop((warm, needs_another));
    scene.all_slots_serve(4, CENSUS);
}
