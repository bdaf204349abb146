//! The network loses every packet, which only kernels can find out, in their own time.
//!
//! It needs a network of its own: the test runs itself again in a namespace, where it may say where packets
//! go.

use std::process::Command;
use std::time::Duration;

use tidegate_scratch::ClusterOptions;
use tidegate_testkit::raw::Raw;
use tidegate_testkit::scene::{self, APP, Scene};
use tidegate_testkit::wait;

const GATE: &str = env!("CARGO_BIN_EXE_tidegate");
const INSIDE: &str = "TIDEGATE_TEST_INSIDE_NAMESPACE";

/// PostgreSQL's address, beside that of everything else.
const POSTGRES: &str = "10.77.0.2";

/// Whether this is the process within the namespace. Otherwise it has run, and has succeeded.
fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        ip("link set lo up");
        ip(&format!("addr add {POSTGRES}/32 dev lo"));
        // Whatever is sent there is dropped.
        ip("link add sink type ifb");
        ip("link set sink up");
        return true;
    }
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new("unshare");
    command.arg("--net").arg(program).args([test, "--exact", "--nocapture"]).env(INSIDE, "1");
    let status = command.status().expect("unshare, of util-linux");
    assert!(status.success(), "in a namespace of its own, which needs root: {status}");
    false
}

fn ip(words: &str) {
    let status = Command::new("ip").args(words.split(' ')).status().expect("ip, of iproute2");
    assert!(status.success(), "ip {words}: {status}");
}

/// From now on no packet arrives at PostgreSQL or comes from it, and nobody is told.
fn cut() {
    ip(&format!("route del local {POSTGRES} dev lo table local"));
    ip(&format!("route add {POSTGRES} dev sink"));
}

fn mend() {
    ip(&format!("route del {POSTGRES} dev sink"));
    ip(&format!("route add local {POSTGRES} dev lo table local src {POSTGRES}"));
}

fn start() -> Scene {
    let hba =
        "local all all trust\nhost all all 127.0.0.1/32 trust\nhost all all 10.77.0.0/24 trust\n";
    let options =
        ClusterOptions::default().hba(hba).listen_addresses(format!("127.0.0.1,{POSTGRES}"));
    let cluster = scene::cluster(options);
    let url = format!("postgres://{APP}@{POSTGRES}:{}/{APP}", cluster.port());
    let settings = "plan = \"free\"\n[pool]\npool_size = 4\nmax_overflow = 0\n";
    let mut scene = Scene::with(GATE, cluster, &url, settings, &["upstream.census=1s"]);
    scene.gate.allow("can't open a server").allow("the census");
    scene.gate.allow("a server did not answer in time");
    scene.gate.allow("closed a client that was idle in a transaction");
    scene
}

/// The SQLSTATE that a client is told before its connection ends.
fn fatal(client: &mut Raw) -> String {
    wait::until_within(Duration::from_secs(200), "last words", || match client.try_next() {
        Ok(Some(frame)) if frame.tag == b'E' => Some(frame.sqlstate()),
        Ok(Some(_)) | Err(_) => None,
        Ok(None) => panic!("the connection ended without a word"),
    })
}

#[test]
fn a_network_that_loses_all_is_noticed_by_both_sides_and_no_slot_is_lost() {
    if !is_inside("a_network_that_loses_all_is_noticed_by_both_sides_and_no_slot_is_lost") {
        return;
    }
    let scene = start();
    let mut clients = vec![scene.client(scene.gate.transaction)];
    // The first server has told what the upstream is, and so the census has asked to be looked for, too.
    let asked = "SELECT count(*) FROM pg_stat_activity \
                 WHERE application_name = 'tidegate census' AND query LIKE 'SET %'";
    scene.until(asked, "1");
    clients.extend((0..3).map(|_| scene.client(scene.gate.transaction)));
    clients.iter_mut().for_each(Raw::begin);
    // One waits for an answer, one will ask, one has a transaction open, one rests.
    clients[0].query("SELECT pg_sleep(3600)");
    scene.until_running(1, "pg_sleep");
    clients[3].run("COMMIT");
    let began = wait::stopwatch();
    cut();
    clients[1].query("SELECT 'nobody hears'");
    let told = fatal(&mut clients[1]);
    let after = began();
    println!("what was sent: {after:?}, {told}");
    assert!((55..80).contains(&after.as_secs()), "{after:?}");
    assert_eq!(told, "08006");
    let told = fatal(&mut clients[0]);
    let after = began();
    println!("what was waited for: {after:?}, {told}");
    assert!((55..100).contains(&after.as_secs()), "{after:?}");
    assert_eq!(told, "08006");
    // PostgreSQL finds out by itself, the statement that it runs included.
    let all = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{APP}'");
    wait::until_within(Duration::from_secs(60), "PostgreSQL lets go of what it has lost", || {
        (scene.look(&all) == "0").then_some(())
    });
    println!("PostgreSQL has noticed: {:?}", began());
    mend();
    let mut next = scene.client(scene.gate.transaction);
    assert_eq!(next.value("SELECT 42"), "42");
    next.leave();
    clients.drain(..).for_each(drop);
    scene.all_slots_serve(4, 1);
}
