//! Cancels that are held up on their way to PostgreSQL.

use tidegate_scratch::ClusterOptions;
use tidegate_testkit::fault::{Cut, FaultProxy, Way, Which};
use tidegate_testkit::raw::Raw;
use tidegate_testkit::scene::{self, APP, Scene};
use tidegate_testkit::wait;
use tidegate_wire::startup;

use crate::stage::{GATE, HBA, Stage, pool};

const FORWARDED: (&str, &str) = ("tidegate_cancel_requests_total", "\"forwarded\"");

/// A gate whose way to PostgreSQL does as it is told.
fn start(servers: usize, flags: &[&str]) -> Stage {
    let cluster = scene::cluster(ClusterOptions::default().hba(HBA));
    let network = FaultProxy::start(cluster.port());
    let url = format!("postgres://{APP}@127.0.0.1:{}/{APP}", network.port());
    let scene = Scene::with(GATE, cluster, &url, &pool(servers), flags);
    Stage { scene, network }
}

/// Asks to cancel what a client runs, and does not wait for what becomes of it.
fn ask_to_cancel(stage: &Stage, client: &Raw) -> Raw {
    let mut asker = Raw::connect(stage.scene.gate.transaction);
    let mut request = Vec::new();
    startup::push_cancel_request(&mut request, client.pid, &client.secret);
    asker.send(&request);
    asker
}

/// The worker of a client, as its pid says.
fn worker(client: &Raw) -> u32 {
    client.pid >> 24
}

/// Two cancels may be under way at once. Whoever is behind them is at another worker, which has
/// nothing else to do.
#[test]
fn a_cancel_that_had_to_wait_is_sent_whichever_worker_has_it() {
    let stage = start(3, &["upstream.census=off", "listen.workers=2", "timeouts.cancel=60s"]);
    let mut of_worker = [Vec::new(), Vec::new()];
    while of_worker[0].len() < 2 || of_worker[1].is_empty() {
        let client = stage.scene.client(stage.scene.gate.transaction);
        of_worker[worker(&client) as usize].push(client);
    }
    let [first, second] = of_worker;
    let mut clients: Vec<_> = first.into_iter().take(2).chain(second.into_iter().take(1)).collect();
    for client in &mut clients {
        client.query("SELECT pg_sleep(600)");
    }
    stage.scene.until_running(3, "pg_sleep");
    stage.network.hold(Which::All, Way::BOTH);
    let mut askers = Vec::new();
    for (client, under_way) in clients.iter().zip([4, 5, 5]) {
        askers.push(ask_to_cancel(&stage, client));
        stage.scene.until_metric(FORWARDED.0, &[FORWARDED.1], askers.len() as f64);
        wait::until("cancels are under way", || {
            (stage.network.connections() == under_way).then_some(())
        });
    }
    stage.network.release(Which::All);
    for (client, asker) in clients.iter_mut().zip(&mut askers) {
        assert_eq!(client.ends_with_error(), "57014");
        assert_eq!(asker.byte(), None);
    }
}

/// A server whose lease has ended waits for a cancel that is under way, and is lost meanwhile. Where
/// no census sees its backend go, its slot is held for a while, whatever becomes of the cancel.
#[test]
fn a_server_that_is_lost_while_a_cancel_is_on_its_way_is_not_used_again() {
    let stage = start(1, &["upstream.census=off"]);
    let mut raw = stage.scene.client(stage.scene.gate.transaction);
    let backend = raw.backend();
    let link = stage.link(&backend);
    stage.scene.look("SELECT pg_advisory_lock(7)");
    raw.query("SELECT pg_advisory_xact_lock(7)");
    stage.scene.until_running(1, "advisory_xact_lock");
    // Of what is new nothing arrives, and so nothing of the cancel does.
    stage.network.hold(Which::All, Way::BOTH);
    stage.network.release(link);
    let mut asker = ask_to_cancel(&stage, &raw);
    wait::until("the cancel is on its way", || (stage.network.connections() == 2).then_some(()));
    stage.scene.look("SELECT pg_advisory_unlock(7)");
    assert_eq!(raw.tags(), "TDCZI");
    assert_eq!(stage.network.cut(link, Cut::Reset), 1);
    stage.scene.until_metric("tidegate_server_connections", &["\"closing\""], 1.0);
    stage.network.release(Which::All);
    assert_eq!(asker.byte(), None, "the cancel has been delivered");
    raw.query("SELECT 'waits'");
    stage.scene.until_waiting(1);
    stage.scene.until_metric("tidegate_server_connections", &["\"closing\""], 1.0);
    assert_eq!(raw.tags(), "TDCZI");
    assert_ne!(raw.backend(), backend);
    stage.scene.all_slots_serve(1, 0);
}
