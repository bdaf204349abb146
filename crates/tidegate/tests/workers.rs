//! Several workers: a server changes hands between them, and nothing is lost on the way.

use tidegate_testkit::scene::{ONE_SERVER, Scene};

const GATE: &str = env!("CARGO_BIN_EXE_tidegate");

fn scene() -> Scene {
    Scene::start(GATE, ONE_SERVER, &["listen.workers=3"])
}

#[test]
fn clients_of_all_workers_take_turns_at_one_server() {
    let scene = scene();
    let clients: Vec<_> = (0..24)
        .map(|number| {
            let mut client = scene.client(scene.gate.transaction);
            std::thread::spawn(move || {
                for nth in 0..100 {
                    client.begin();
                    let expected = (1000 * number + nth).to_string();
                    assert_eq!(client.value(&format!("SELECT {expected}")), expected);
                    client.run("COMMIT");
                }
            })
        })
        .collect();
    for client in clients {
        client.join().expect("every transaction is answered with its own result");
    }
    let servers = scene.look(
        "SELECT count(*) FROM pg_stat_activity \
         WHERE usename = 'app' AND application_name <> 'tidegate census'",
    );
    assert_eq!(servers, "1");
}

#[test]
fn a_cancel_finds_its_client_whichever_worker_hears_it() {
    let scene = scene();
    for _ in 0..12 {
        let mut client = scene.client(scene.gate.transaction);
        client.query("SELECT pg_sleep(60)");
        scene.until_running(1, "pg_sleep");
        client.cancel(scene.gate.session);
        let frames = client.until_ready();
        let error = frames.iter().find(|frame| frame.tag == b'E').expect("it was cancelled");
        assert_eq!(error.sqlstate(), "57014");
    }
}

#[test]
fn a_waiter_that_vanishes_on_one_worker_costs_the_others_nothing() {
    let scene = scene();
    let mut holder = scene.client(scene.gate.transaction);
    holder.begin();
    let mut waiters: Vec<_> = (0..12).map(|_| scene.client(scene.gate.transaction)).collect();
    for waiter in &mut waiters {
        waiter.query("SELECT 1");
    }
    scene.until_waiting(12);
    let stay = waiters.split_off(6);
    drop(waiters);
    scene.until_waiting(6);
    holder.run("COMMIT");
    for mut waiter in stay {
        assert_eq!(waiter.tags(), "TDCZI");
    }
}
