//! Many clients at a few servers, each with an identity that shows in all that it says. Whatever is
//! answered, and every setting that is read back, must be the client's own, while others vanish,
//! cancel, and fail, while servers are killed, and while PostgreSQL reads its settings anew.
//!
//! What a client does follows from the seed and its number alone, operation by operation. A failure
//! names the seed; `TIDEGATE_SEED=…` plays it again. How clients meet is the scheduler's choice.

pub(crate) mod client;
mod network;
mod talk;
mod model;
mod random;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate_scratch::ClusterOptions;
use tidegate_testkit::raw::Raw;
use tidegate_testkit::scene::{self, APP, Scene};
use tidegate_testkit::wait;

use crate::load::client::{Client, Counts, Place};
use crate::load::model::{SCHEMAS, Setting, Values, who};
use crate::load::network::Network;
use crate::load::random::Random;
use crate::load::talk::RELOADED;

/// How much of it.
pub(crate) struct Load {
    pub(crate) clients: usize,
    pub(crate) lasts: Duration,
    /// Whether the network between gate and PostgreSQL breaks, too.
    pub(crate) breaks: bool,
}

const SERVERS: usize = 6;
/// Passwords are no part of this.
const HBA: &str = "local all all trust\nhost all all 127.0.0.1/32 trust\n";
const GATE: &str = env!("CARGO_BIN_EXE_tidegate");
/// Much longer than anybody waits, and shorter than a client waits for an answer.
const SETTINGS: &str = "plan = \"free\"\n\
    [pool]\npool_size = 6\nmax_overflow = 0\npool_timeout = \"25s\"\n";

/// The gate's servers: not the connection of its census.
const BACKENDS: &str = "FROM pg_stat_activity WHERE usename = 'app' \
    AND backend_type = 'client backend' AND application_name <> 'tidegate census'";

/// Plays a load.
pub(crate) fn run(load: &Load) {
    let given = std::env::var("TIDEGATE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or(u64::from(std::process::id()));
    println!("TIDEGATE_SEED={seed}");
    let cluster = scene::cluster(ClusterOptions::default().hba(HBA));
    let mut network = load.breaks.then(|| Network::new(cluster.port(), seed));
    let port = network.as_ref().map_or(cluster.port(), Network::port);
    let url = format!("postgres://{APP}@127.0.0.1:{port}/{APP}");
    let settings = SETTINGS.to_owned() + if load.breaks { network::SETTINGS } else { "" };
    let flags = ["listen.workers=2", "upstream.census=1s"];
    let mut scene = Scene::with(GATE, cluster, &url, &settings, &flags);
    scene.gate.allow("the server that listens for its database was lost");
    if load.breaks {
        for words in network::ALLOWED {
            scene.gate.allow(words);
        }
    }
    prepare(&scene);
    // With all servers there, and nobody.
    assert_at_rest(&scene);
    let base = Size::of(&scene);
    let place = Place {
        seed,
        session: scene.gate.session,
        transaction: scene.gate.transaction,
        defaults: defaults(&scene),
    };
    let stop = Arc::new(AtomicBool::new(false));
    let failures = Arc::new(Mutex::new(Vec::new()));
    let threads: Vec<_> = (0..load.clients)
        .map(|number| {
            let client = Client::new(&place, number);
            let (stop, failures) = (stop.clone(), failures.clone());
            std::thread::Builder::new()
                .stack_size(STACK_BYTES)
                .spawn(move || live(client, number, &stop, &failures))
                .expect("a thread")
        })
        .collect();
    let (kills, sizes) = disturb(&scene, network.as_mut(), seed, load.lasts, &stop);
    stop.store(true, Ordering::Relaxed);
    let mut all = Counts::default();
    for thread in threads {
        let counts = thread.join().expect("its panics are caught");
        all.answers += counts.answers;
        all.connections += counts.connections;
        all.cancelled += counts.cancelled;
        all.lost += counts.lost;
        all.refused += counts.refused;
    }
    println!("{all:?}, {kills} servers were lost at most");
    let failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
    for words in failures.iter().take(FAILURES_SHOWN) {
        println!("TIDEGATE_SEED={seed}, {words}");
    }
    assert!(failures.is_empty(), "{} clients failed; TIDEGATE_SEED={seed}", failures.len());
    // A server that is lost costs at most the one client that had it.
    assert!(all.lost <= kills, "{} clients lost a server, of {kills}", all.lost);
    assert!(all.answers > load.clients * ANSWERS_MIN, "{} answers", all.answers);
    assert_at_rest(&scene);
    println!("at the start {base:?}, under load {sizes:?}, at the end {:?}", Size::of(&scene));
    let [early, late] = sizes;
    let growth = late.resident_bytes.saturating_sub(early.resident_bytes);
    assert!(growth < GROWTH_MAX, "{growth} bytes more since the first quarter");
    wait::until("no descriptor is left over", || {
        (Size::of(&scene).descriptors <= base.descriptors).then_some(())
    });
}

/// What the gate needs.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    descriptors: usize,
    resident_bytes: u64,
}

impl Size {
    fn of(scene: &Scene) -> Self {
        let folder = format!("/proc/{}/fd", scene.gate.pid());
        let descriptors = std::fs::read_dir(folder).expect("the gate runs").count();
        Self { descriptors, resident_bytes: scene.gate.resident_bytes() }
    }
}

/// After the first quarter everything that is made once is there. What comes beyond are buffers of
/// clients that happen to wait or not to read: 128 KiB for each of some.
const GROWTH_MAX: u64 = 8 << 20;

const STACK_BYTES: usize = 256 * 1024;
const FAILURES_SHOWN: usize = 3;
/// On any machine; a client that starves has fewer.
const ANSWERS_MIN: usize = 10;

/// What clients need of the database.
fn prepare(scene: &Scene) {
    let sql = |sql: &str| scene.cluster.sql_in(APP, sql).expect("the database is prepared");
    let place = |schema: &str| {
        sql(&format!("CREATE TABLE {schema}.place AS SELECT '{schema}'::text AS name"));
        sql(&format!("GRANT SELECT ON {schema}.place TO app"));
    };
    for number in 0..SCHEMAS {
        sql(&format!("CREATE SCHEMA s{number} AUTHORIZATION app"));
        place(&format!("s{number}"));
    }
    place("public");
    sql("CREATE TABLE public.copied (who text, n int)");
    sql("GRANT SELECT, INSERT ON public.copied TO app");
    sql("CREATE FUNCTION public.hidden_set(name text, value text) RETURNS text LANGUAGE plpgsql \
         AS $$ BEGIN RETURN set_config(name, value, false); END $$");
}

fn defaults(scene: &Scene) -> Values {
    let mut direct = scene.client(scene.cluster.port());
    let mut value = |setting: Setting| {
        direct.value(&format!("SELECT coalesce(current_setting('{}', true), '')", setting.name()))
    };
    Setting::ALL.into_iter().map(|setting| (setting, value(setting))).collect()
}

/// One client until it is told to stop, or fails.
fn live(
    mut client: Client,
    number: usize,
    stop: &AtomicBool,
    failures: &Mutex<Vec<String>>,
) -> Counts {
    for nth in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if let Err(cause) = catch_unwind(AssertUnwindSafe(|| client.operate(nth))) {
            let cause = cause
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_default();
            let words = format!(
                "client {number} ({}), operation {nth}: {cause}\n{}",
                who(number),
                client.history.lines()
            );
            failures.lock().unwrap_or_else(PoisonError::into_inner).push(words);
            stop.store(true, Ordering::Relaxed);
            break;
        }
    }
    client.counts
}

/// Kills servers, changes a setting that PostgreSQL reports, and counts servers, for as long as
/// nobody has failed. Says how many servers were lost at most, and what the gate needed after a
/// quarter of the time and at its end.
fn disturb(
    scene: &Scene,
    mut network: Option<&mut Network>,
    seed: u64,
    lasts: Duration,
    stop: &AtomicBool,
) -> (usize, [Size; 2]) {
    let mut random = Random::of(seed, usize::MAX, 0);
    let mut superuser = Raw::log_in(scene.cluster.port(), "postgres", "postgres", APP);
    let mut kills = 0;
    let mut early = None;
    let mut looks = 0;
    let mut loaded = String::new();
    let elapsed = wait::stopwatch();
    let look = || {
        let servers: usize = superuser
            .value(&format!("SELECT count(*) {BACKENDS}"))
            .parse()
            .expect("a count is a number");
        assert!(servers <= SERVERS, "{servers} servers");
        looks += 1;
        if let Some(network) = &mut network {
            network.look(&mut superuser);
        }
        if early.is_none() && elapsed() > lasts / 4 {
            early = Some(Size::of(scene));
        }
        if looks % KILLS_EVERY == 0 {
            let salt = random.below(1 << 20);
            let killed = superuser.value(&format!(
                "SELECT count(*) FILTER (WHERE killed) FROM (SELECT pg_terminate_backend(pid) \
                 AS killed FROM (SELECT pid {BACKENDS} AND state IS NOT NULL \
                 AND backend_start < now() - interval '200 ms' \
                 ORDER BY hashint4(pid # {salt}) LIMIT 1) AS one) AS all_of_them"
            ));
            kills += killed.parse::<usize>().expect("a count is a number");
        }
        // It is over when our own backend has heard of it, at the next look at the earliest.
        if talk::is_reloading() && superuser.value("SELECT pg_conf_load_time()") != loaded {
            talk::reload_goes_on();
        }
        if looks % RELOADS_EVERY == 0 {
            loaded = superuser.value("SELECT pg_conf_load_time()");
            let style = random.pick(&["postgres", "iso_8601", "sql_standard"]);
            superuser.run(&format!("ALTER SYSTEM SET {RELOADED} = '{style}'"));
            talk::reload_goes_on();
            superuser.run("SELECT pg_reload_conf()");
        }
    };
    wait::poll_every(BETWEEN_LOOKS, look, || stop.load(Ordering::Relaxed) || elapsed() > lasts);
    let late = Size::of(scene);
    let lost = network.map_or(0, |network| network.mend());
    (kills + lost, [early.unwrap_or(late), late])
}

const BETWEEN_LOOKS: Duration = Duration::from_millis(25);
const KILLS_EVERY: usize = 9;
const RELOADS_EVERY: usize = 40;

/// All clients have gone: nothing of theirs is left, and the gate serves as ever.
fn assert_at_rest(scene: &Scene) {
    scene.until_metric("tidegate_client_connections", &[], 0.0);
    scene.until_waiting(0);
    scene.until_metric("tidegate_pinned", &[], 0.0);
    scene.until(&format!("SELECT count(*) {BACKENDS} AND state <> 'idle'"), "0");
    scene.until("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", "0");
    let left = "SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND relkind = 'r'";
    scene.until(left, "0");
    // All servers at once.
    let mut clients: Vec<_> = (0..SERVERS).map(|_| scene.client(scene.gate.transaction)).collect();
    clients.iter_mut().for_each(Raw::begin);
    let defaults = defaults(scene);
    for client in &mut clients {
        for (setting, wanted) in &defaults {
            let sql = format!("SELECT coalesce(current_setting('{}', true), '')", setting.name());
            assert_eq!(client.value(&sql), *wanted, "{}", setting.name());
        }
        assert_eq!(client.value("SELECT count(*) FROM pg_listening_channels()"), "0");
    }
    scene.until(&format!("SELECT count(*) {BACKENDS}"), &SERVERS.to_string());
    clients.iter_mut().for_each(|client| client.run("COMMIT"));
    for port in scene.ports() {
        assert_eq!(scene.client(port).value("SELECT 'served'"), "served");
    }
}
