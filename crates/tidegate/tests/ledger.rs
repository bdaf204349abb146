//! The ledger: every connection of the database, whoever has opened it.

use serde_json::Value;
use tidegate_scratch::ClusterOptions;
use tidegate_testkit::outcome::{self, Outcome};
use tidegate_testkit::raw::Raw;
use tidegate_testkit::scene::{APP, Scene, cluster};
use tidegate_testkit::wait;

const BINARY: &str = env!("CARGO_BIN_EXE_tidegate");
const HBA: &str = "local all all trust\nhost all all 127.0.0.1/32 trust\n";

fn scene(settings: &[(&str, &str)]) -> Scene {
    let options = ClusterOptions::default().hba(HBA);
    let options = settings.iter().fold(options, |all, (name, value)| all.setting(*name, *value));
    let cluster = cluster(options);
    let url = format!("postgres://{APP}@127.0.0.1:{}/{APP}", cluster.port());
    Scene::with(BINARY, cluster, &url, "plan = \"free\"\n", &["upstream.census=100ms"])
}

/// A connection past the gate.
fn direct(scene: &Scene, user: &str, application: &str) -> Raw {
    let mut raw = Raw::connect(scene.cluster.port());
    let parameters = [("user", user), ("database", APP), ("application_name", application)];
    raw.try_log_in(&parameters, "").unwrap_or_else(|refusal| panic!("{}", refusal.field(b'M')));
    raw
}

fn ledger(scene: &Scene) -> Value {
    let (code, body) = scene.gate.get("/api/v1/ledger?limit=1000");
    assert_eq!(code, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

fn rows(scene: &Scene) -> Vec<Value> {
    ledger(scene)["ledger"].as_array().expect("rows").clone()
}

fn command(scene: &Scene, words: &[&str]) -> Outcome {
    let api = format!("http://127.0.0.1:{}", scene.gate.http);
    let words: Vec<&str> = words.iter().copied().chain(["--api", &api]).collect();
    outcome::run(BINARY, scene.gate.folder(), &[], &words)
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap_or("-")
}

#[test]
fn every_connection_is_told_with_whose_it_is_and_whom_it_waits_for() {
    let scene = scene(&[]);
    scene.look_anew();
    scene.cluster.sql("CREATE ROLE authenticator LOGIN").expect("a role");
    scene.cluster.sql(&format!("GRANT pg_read_all_stats TO {APP}")).expect("it may see all");
    let mut own = scene.client(scene.gate.transaction);
    own.run("CREATE TABLE shelf (book text)");
    own.begin();
    own.run("LOCK shelf");
    let backend = own.backend();
    let mut psql = direct(&scene, APP, "psql");
    psql.query("SELECT * FROM shelf");
    let _rest = direct(&scene, "authenticator", "PostgREST 12");
    let _dump = direct(&scene, "postgres", "pg_dump");
    let _pooler = direct(&scene, APP, "pgbouncer");
    wait::until("the census has seen them wait", || {
        let rows = rows(&scene);
        rows.iter().any(|row| row["blocked_by"] != Value::Array(vec![])).then_some(())
    });
    let all = ledger(&scene);
    assert_eq!((&all["schema"], &all["privileged"]), (&"tidegate.ledger.v1".into(), &true.into()));
    let rows = all["ledger"].as_array().expect("rows");
    let count =
        scene.look("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'");
    assert_eq!(all["total"].to_string(), count);
    // Whom others wait for stands first.
    assert_eq!((rows[0]["pid"].to_string(), &rows[0]["blocks"]), (backend.clone(), &1.into()));
    assert_eq!(
        (text(&rows[0], "origin"), text(&rows[0], "state")),
        ("self", "idle in transaction")
    );
    assert!(rows[0]["server"].is_u64() && rows[0]["transaction_seconds"].is_f64());
    let of = |application: &str| {
        let mut found = rows.iter().filter(|row| text(row, "application").starts_with(application));
        found.next().unwrap_or_else(|| panic!("no {application} in {rows:?}"))
    };
    assert_eq!(text(of("psql"), "origin"), "direct");
    assert_eq!(
        of("psql")["blocked_by"],
        serde_json::json!([backend.parse::<u32>().expect("a pid")])
    );
    assert_eq!(text(of("PostgREST"), "origin"), "platform");
    assert_eq!(text(of("pg_dump"), "origin"), "migration");
    assert_eq!(text(of("pgbouncer"), "origin"), "other_pooler");
    assert_eq!(text(of("tidegate census"), "origin"), "self");
    let backends = |labels: &[&str]| scene.gate.metric("tidegate_upstream_backends", labels);
    assert_eq!(backends(&["\"platform\"", "\"idle\""]), 1.0);
    assert_eq!(backends(&[]), rows.len() as f64);
    assert_eq!(scene.gate.metric("tidegate_upstream_blocked_backends", &[]), 1.0);
    assert_eq!(scene.gate.metric("tidegate_upstream_census_privileged", &[]), 1.0);
    own.run("COMMIT");
}

#[test]
fn what_may_not_be_seen_is_counted_and_it_is_said_that_it_can_t_be() {
    let scene = scene(&[]);
    scene.cluster.sql("CREATE ROLE stranger LOGIN").expect("a role");
    let _stranger = direct(&scene, "stranger", "billing");
    let row = wait::until("the census has seen it", || {
        rows(&scene).into_iter().find(|row| text(row, "user") == "stranger")
    });
    assert_eq!((text(&row, "origin"), &row["state"]), ("direct", &Value::Null));
    assert_eq!(ledger(&scene)["privileged"], false);
    let status = command(&scene, &["status"]).done();
    assert!(status.contains("1 stranger/billing"), "{status}");
    assert!(status.contains("(states can't be seen)"), "{status}");
    let listed = command(&scene, &["ps", "ledger"]);
    assert!(listed.err.contains("GRANT pg_read_all_stats"), "{}", listed.err);
    assert!(listed.out.contains("(not shown)"), "{}", listed.out);
}

/// Eighteen places, of which fifteen are for ordinary roles, all taken by others.
#[test]
fn a_database_that_others_fill_is_told_with_who_fills_it() {
    let scene = scene(&[("max_connections", "18")]);
    scene.cluster.sql("CREATE ROLE crowd LOGIN").expect("a role");
    let mut crowd = Vec::new();
    loop {
        let mut raw = Raw::connect(scene.cluster.port());
        let parameters = [("user", "crowd"), ("database", APP), ("application_name", "worker")];
        match raw.try_log_in(&parameters, "") {
            Ok(()) => crowd.push(raw),
            Err(refusal) => {
                assert_eq!(refusal.sqlstate(), "53300");
                break;
            }
        }
    }
    assert!(crowd.len() > 10, "{}", crowd.len());
    let row = format!("{} crowd/worker", crowd.len());
    wait::until("the census, which has its connection, has seen them", || {
        command(&scene, &["status"]).out.contains(&row).then_some(())
    });
}
