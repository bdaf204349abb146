//! What a warm pool may do is taken away: its role, its database, its password, its certificate,
//! its connections.

use std::time::Duration;

use tidegate_scratch::ClusterOptions;
use tidegate_testkit::certificates::{Authority, Folder, Issued, day, secured};
use tidegate_testkit::gate::Gate;
use tidegate_testkit::raw::{Frame, Raw};
use tidegate_testkit::scene::{self, APP, Scene};
use tidegate_testkit::wait;

use crate::stage::{
    CENSUS, CLOSED, GATE, HBA, QUICK, allow_outage, code, fails, last_words, pool, refusal,
};

/// What waiting cannot help is told long before `pool_timeout`, which is 30 s.
const AT_ONCE: Duration = Duration::from_secs(10);

/// Two clients at work, with a server each.
fn warm(scene: &Scene, password: &str) -> [Raw; 2] {
    [(); 2].map(|()| {
        let mut raw = Raw::log_in(scene.gate.transaction, APP, password, APP);
        raw.begin();
        raw
    })
}

/// Ends all servers, the census's left out.
const END_SERVERS: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
    WHERE datname = 'app' AND pid <> pg_backend_pid() AND application_name <> 'tidegate census'";

/// No third server can be opened. Those that are there go on, and serve a third client in turn; once
/// they are gone as well, there is nothing to wait for, and the client is told why at once.
fn told_at_once(scene: &Scene, third: &mut Raw, warm: &mut [Raw; 2]) -> Frame {
    third.query("SELECT 'third'");
    scene.until_waiting(1);
    for raw in warm {
        assert_eq!(raw.value("SELECT 'goes on'"), "goes on");
        raw.run("COMMIT");
    }
    let frames = third.until_ready();
    assert!(frames.iter().any(|frame| frame.tag == b'D'), "it waits for those: {frames:?}");
    assert_eq!(scene.look(END_SERVERS), "2");
    scene.until_metric(CLOSED, &["reason=\"upstream\""], 2.0);
    let (took, error) = wait::timed(|| fails(third, "SELECT 'late'"));
    assert!(took < AT_ONCE, "it was told after {took:?}");
    error
}

/// What was wrong is right again: the client is served soon.
fn heals(raw: &mut Raw) {
    wait::until_within(AT_ONCE, "it heals", || {
        raw.query("SELECT 1");
        raw.until_ready().iter().any(|frame| frame.tag == b'D').then_some(())
    });
}

#[test]
fn a_password_that_is_changed_hurts_new_servers_only_and_is_told_with_the_cause() {
    let cluster = scene::cluster(ClusterOptions::default());
    cluster.sql("ALTER ROLE postgres PASSWORD 'postgres'").expect("a password");
    let url = cluster.url(APP, "secret", APP);
    let mut scene = Scene::with(GATE, cluster, &url, &(pool(3) + QUICK), &[]);
    allow_outage(&mut scene.gate);
    let mut warm = warm(&scene, "secret");
    scene.cluster.sql("ALTER ROLE app PASSWORD 'other'").expect("it is changed");
    let mut third = Raw::log_in(scene.gate.transaction, APP, "secret", APP);
    let error = told_at_once(&scene, &mut third, &mut warm);
    assert_eq!(code(&error), "ERROR 28P01 TG003");
    assert!(error.field(b'D').contains("password authentication failed"), "{error:?}");
    assert!(scene.gate.metric("tidegate_server_connect_errors_total", &["permanent"]) >= 1.0);

    scene.cluster.sql("ALTER ROLE app PASSWORD 'secret'").expect("it is changed back");
    heals(&mut third);
}

#[test]
fn a_role_that_is_dropped_hurts_new_servers_only_and_is_told_with_the_cause() {
    let mut scene = Scene::start(GATE, &(pool(3) + QUICK), &[]);
    allow_outage(&mut scene.gate);
    let mut warm = warm(&scene, "");
    scene
        .cluster
        .sql("ALTER DATABASE app OWNER TO postgres; DROP ROLE app")
        .expect("it is dropped");
    let mut third = scene.client(scene.gate.transaction);
    let error = told_at_once(&scene, &mut third, &mut warm);
    assert_eq!(code(&error), "ERROR 28000 TG003");
    assert!(error.field(b'D').contains("role \"app\" does not exist"), "{error:?}");

    scene.cluster.sql("CREATE ROLE app LOGIN; ALTER DATABASE app OWNER TO app").expect("a role");
    heals(&mut third);
    // The census goes on as the role that is no more.
    let gone = "SELECT count(*) FROM pg_stat_activity WHERE usename IS NULL \
                AND application_name = 'tidegate census'";
    assert_eq!(scene.look(gone), "1");
    drop((third, warm));
    scene.look(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE application_name = 'tidegate census'",
    );
    scene.all_slots_serve(3, CENSUS);
}

#[test]
fn a_database_that_is_dropped_hurts_its_own_clients_only_and_may_come_again() {
    let mut scene = Scene::start(GATE, &(pool(3) + QUICK), &[]);
    allow_outage(&mut scene.gate);
    scene.cluster.sql("CREATE DATABASE other OWNER app").expect("a database");
    let mut idle = Raw::log_in(scene.gate.transaction, APP, "", "other");
    idle.run("SELECT 1");
    let mut busy = Raw::log_in(scene.gate.session, APP, "", "other");
    busy.query("SELECT pg_sleep(100)");
    scene.until_running(1, "pg_sleep(100)");
    let mut elsewhere = scene.client(scene.gate.transaction);
    elsewhere.begin();

    scene.cluster.sql("DROP DATABASE other WITH (FORCE)").expect("it is dropped");
    assert_eq!(code(&last_words(&mut busy)), "FATAL 57P01");
    let (took, error) = wait::timed(|| fails(&mut idle, "SELECT 1"));
    assert_eq!(code(&error), "ERROR 3D000 TG003");
    assert!(took < AT_ONCE, "it was told after {took:?}");
    assert_eq!(
        refusal(scene.gate.session, "", "nowhere").map(|e| e.sqlstate()),
        Some("3D000".into())
    );
    assert_eq!(elsewhere.value("SELECT current_database()"), "app");
    elsewhere.run("COMMIT");

    scene.cluster.sql("CREATE DATABASE other OWNER app").expect("it is made again");
    heals(&mut idle);
    drop((idle, elsewhere));
    scene.until_metric("tidegate_client_connections", &[], 0.0);
    // The idle server there would count.
    scene.cluster.sql("DROP DATABASE other WITH (FORCE)").expect("it is dropped");
    scene.all_slots_serve(3, CENSUS);
}

#[test]
fn a_limit_that_is_lowered_below_what_is_open_makes_clients_wait_for_what_there_is() {
    let cluster = scene::cluster(ClusterOptions::default().hba(HBA));
    let url = format!("postgres://{APP}@127.0.0.1:{}/{APP}", cluster.port());
    let settings = "plan = \"free\"\n[pool]\npool_size = 4\nmax_overflow = 0\n\
                    pool_timeout = \"1s\"\n";
    // The census does not see the limit before PostgreSQL refuses.
    let mut scene = Scene::with(GATE, cluster, &url, settings, &["upstream.census=1h"]);
    scene.gate.allow("can't open a server");
    let mut warm = warm(&scene, "");
    scene.cluster.sql("ALTER ROLE app CONNECTION LIMIT 2").expect("it is lowered");
    let mut third = scene.client(scene.gate.transaction);
    let error = fails(&mut third, "SELECT 'third'");
    // What PostgreSQL said to the gate ("too many connections for role") is no client's business.
    assert_eq!(error.sqlstate(), "53300", "{error:?}");
    assert!(error.field(b'H').contains("(TG00"), "{error:?}");
    assert!(!error.field(b'M').contains("too many connections for role"), "{error:?}");
    assert!(error.field(b'D').contains("has refused a connection because it is full"), "{error:?}");
    assert!(scene.gate.metric("tidegate_server_connect_errors_total", &["full"]) >= 1.0);
    third.query("SELECT 'third'");
    scene.until_waiting(1);
    assert_eq!(warm[0].value("SELECT 'goes on'"), "goes on");
    warm[0].run("COMMIT");
    assert!(third.until_ready().iter().any(|frame| frame.tag == b'D'), "it gets that one");
    warm[1].run("COMMIT");
    scene.cluster.sql("ALTER ROLE app CONNECTION LIMIT -1").expect("it is lifted");
    drop((warm, third));
    scene.all_slots_serve(4, CENSUS);
}

#[test]
fn a_certificate_that_expires_hurts_new_servers_only_until_it_is_renewed() {
    let ours = Authority::new("ours");
    let rules = "local all all trust\nhostssl all all samehost trust\n";
    let options = ClusterOptions::default().listen_addresses("localhost").hba(rules);
    let cluster = scene::cluster(secured(options, &ours.issue(&["localhost"])));
    let folder = Folder::default();
    let root = folder.file("ours.crt", &ours.pem);
    let url = format!(
        "postgres://{APP}@localhost:{}/{APP}?sslmode=verify-full&sslrootcert={}",
        cluster.port(),
        root.display()
    );
    let mut gate = Gate::start(GATE, &url, &(pool(3) + QUICK), &[]);
    allow_outage(&mut gate);
    let client = || Raw::log_in(gate.transaction, APP, "", APP);
    let mut warm = client();
    warm.begin();

    let show = |issued: &Issued| {
        let reloads = || cluster.log_text().matches("reloading configuration files").count();
        let before = reloads();
        cluster.write_file("server.crt", &issued.certificate).expect("it is written");
        cluster.write_file("server.key", &issued.key).expect("it is written");
        cluster.sql("SELECT pg_reload_conf()").expect("it reloads");
        wait::until("PostgreSQL has reloaded", || (reloads() > before).then_some(()));
    };
    // Time can't be moved, so the certificate is replaced by one whose time is over.
    show(&ours.issue_with(&["localhost"], |wanted| {
        wanted.not_before = day(2020, 1, 1);
        wanted.not_after = day(2021, 1, 1);
    }));
    let mut second = client();
    second.query("SELECT 'waits'");
    let failed = || gate.metric("tidegate_server_connect_errors_total", &["permanent"]);
    wait::until("a dial has failed", || (failed() >= 1.0).then_some(()));
    assert_eq!(warm.value("SELECT 'serves'"), "serves");
    warm.run("COMMIT");
    assert!(second.until_ready().iter().any(|frame| frame.tag == b'D'), "it gets the first one's");
    assert_eq!(cluster.sql(END_SERVERS).expect("it ends them"), "1");
    wait::until("its end is noticed", || {
        (gate.metric(CLOSED, &["reason=\"upstream\""]) == 1.0).then_some(())
    });
    let (took, error) = wait::timed(|| fails(&mut second, "SELECT 1"));
    assert_eq!(code(&error), "ERROR 08001 TG022");
    assert!(error.field(b'D').contains("it has expired; renew it"), "{error:?}");
    assert!(took < AT_ONCE, "it was told after {took:?}");

    show(&ours.issue(&["localhost"]));
    heals(&mut second);
}
