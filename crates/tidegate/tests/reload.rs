//! Reload: other settings for a gate that runs, all of them or none.

use serde_json::Value;
use tidegate_scratch::ClusterOptions;
use tidegate_testkit::raw::Raw;
use tidegate_testkit::scene::{APP, Scene, cluster};
use tidegate_testkit::wait;

const BINARY: &str = env!("CARGO_BIN_EXE_tidegate");
const BEARER: &str = "Authorization: Bearer correct horse";

/// A gate whose settings end with what is given, and the text in front of that.
struct Stage {
    scene: Scene,
    head: String,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn start(settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        std::fs::write(&file, "correct horse\n").expect("a token");
        let flag = format!("listen.admin_token_file={}", file.display());
        let scene = Scene::start(BINARY, settings, &[&flag]);
        let text = std::fs::read_to_string(scene.gate.settings_file()).expect("its settings");
        let head = text.strip_suffix(settings).expect("they end with those").to_owned();
        Self { scene, head, _folder: folder }
    }

    /// Writes other settings and has them read.
    fn post(&self, settings: &str) -> (u16, Value) {
        self.write(settings);
        let (code, body) = self.scene.gate.post("/api/v1/reload", BEARER, "");
        (code, serde_json::from_str(&body).unwrap_or_else(|_| panic!("no JSON: {body}")))
    }

    fn write(&self, settings: &str) {
        let text = format!("{}{settings}", self.head);
        std::fs::write(self.scene.gate.settings_file(), text).expect("they are written");
    }

    /// A reload that must succeed: each change as `name: old -> new, applies`.
    #[track_caller]
    fn reload(&self, settings: &str) -> Vec<String> {
        let (code, json) = self.post(settings);
        assert_eq!(code, 200, "{json}");
        assert_eq!(
            (&json["schema"], &json["operation"]),
            (&"tidegate.operation.v1".into(), &"reload".into())
        );
        let text = |change: &Value, name: &str| change[name].as_str().expect("text").to_owned();
        let changes = json["changes"].as_array().expect("changes").iter();
        let told = changes.map(|change| {
            let [setting, old, new, applies] =
                ["setting", "old", "new", "applies"].map(|name| text(change, name));
            format!("{setting}: {old} -> {new}, {applies}")
        });
        told.collect()
    }
}

const BACKENDS: &str = "SELECT count(*) FROM pg_stat_activity \
                        WHERE usename = 'app' AND application_name <> 'tidegate census'";

fn pool(size: u32) -> String {
    format!("[pool]\npool_size = {size}\nmax_overflow = 0\n")
}

#[test]
fn a_larger_pool_serves_those_who_wait_and_a_smaller_one_closes_what_is_too_much() {
    let stage = Stage::start(&pool(1));
    let scene = &stage.scene;
    let mut clients: Vec<_> = (0..3).map(|_| scene.client(scene.gate.transaction)).collect();
    let pid = clients[0].backend();
    clients[0].begin();
    for client in &mut clients[1..] {
        client.query("BEGIN; SELECT 1");
    }
    scene.until_waiting(2);
    assert_eq!(stage.reload(&pool(3)), ["pool.pool_size: 1 -> 3, now"]);
    for client in &mut clients[1..] {
        assert_eq!(client.tags(), "CTDCZT");
    }
    scene.until(BACKENDS, "3");
    clients[2].run("COMMIT");
    assert_eq!(stage.reload(&pool(1)), ["pool.pool_size: 3 -> 1, now"]);
    scene.until(BACKENDS, "2");
    clients[1].run("COMMIT");
    scene.until(BACKENDS, "1");
    clients[0].run("COMMIT");
    assert_eq!(clients[0].backend(), pid, "the last one is kept");
    assert_eq!(scene.gate.metric("tidegate_server_connections_closed_total", &["limit"]), 2.0);
}

#[test]
fn a_smaller_budget_closes_idle_servers_at_once_and_clients_go_on() {
    let mut stage = Stage::start(&pool(5));
    stage.scene.gate.allow("the pool will not reach its size");
    let scene = &stage.scene;
    let mut clients: Vec<_> = (0..4).map(|_| scene.client(scene.gate.transaction)).collect();
    clients.iter_mut().for_each(Raw::begin);
    clients.iter_mut().for_each(|client| client.run("COMMIT"));
    scene.until(BACKENDS, "4");
    let text = stage.head.replace("[upstream]\n", "[upstream]\nconnections = 3\n");
    std::fs::write(scene.gate.settings_file(), format!("{text}{}", pool(5))).expect("written");
    scene.gate.signal("HUP");
    // The census has one of the three.
    scene.until(BACKENDS, "2");
    scene.until_metric("tidegate_budget_connections", &[], 3.0);
    for client in &mut clients {
        assert_eq!(client.value("SELECT 42"), "42");
    }
    scene.gate.until_logged("upstream.connections");
}

#[test]
fn timeouts_hold_for_clients_that_are_connected() {
    let mut stage = Stage::start("");
    stage.scene.gate.allow("idle in a transaction").allow("took too long");
    let scene = &stage.scene;
    let mut idle = scene.client(scene.gate.transaction);
    let mut slow = scene.client(scene.gate.session);
    idle.begin();
    slow.query("SELECT pg_sleep(600)");
    scene.until_running(1, "pg_sleep");
    let changes = stage.reload(
        "[timeouts]\nidle_in_transaction = \"200ms\"\n\
         [[pool_for]]\ndatabase = \"app\"\nquery = \"250ms\"\n",
    );
    assert_eq!(
        changes,
        [
            "pool_for[1].database: - -> app, now",
            "pool_for[1].query: - -> 250ms, now",
            "timeouts.idle_in_transaction: 1m -> 200ms, now",
        ]
    );
    let told = idle.until_end();
    assert_eq!(told.last().map(|frame| frame.sqlstate()), Some("25P03".to_owned()), "{told:?}");
    assert_eq!(slow.ends_with_error(), "57014");
    assert_eq!(stage.reload("").len(), 3);
    slow.run("SELECT pg_sleep(0.4)");
}

#[test]
fn what_is_wrong_changes_nothing_and_is_told_with_place_and_remedy() {
    let mut stage = Stage::start(&pool(1));
    stage.scene.gate.allow("settings: ").allow("settings stay as they were");
    let wrong = "[pool]\npool_size = 5\nmax_overflow = 0\npool_timeut = \"9s\"\npins_max = -1\n";
    let (code, no) = stage.post(wrong);
    assert_eq!((code, no["error"].as_str()), (422, Some("settings")), "{no}");
    let problems = no["problems"].as_array().expect("problems");
    assert_eq!(problems.len(), 2, "all at once: {no}");
    let place = problems[0]["place"].as_str().expect("a place");
    let line = stage.head.lines().count() + 4;
    assert!(place.contains(&format!("tidegate.toml:{line}:")), "{place} is not line {line}");
    assert!(problems[0].to_string().contains("pool_timeout"), "the nearest name: {no}");
    let scene = &stage.scene;
    scene.gate.signal("HUP");
    wait::until("it is logged again", || {
        let log = scene.gate.log();
        let said =
            log.iter().filter(|line| line.to_string().contains("settings stay as they were"));
        (said.count() == 2).then_some(())
    });
    let (_, snapshot) = scene.gate.get("/api/v1/snapshot");
    assert!(!snapshot.contains("\"pool_size\":5"), "{snapshot}");
    let mut holder = scene.client(scene.gate.transaction);
    let mut waits = scene.client(scene.gate.transaction);
    holder.begin();
    waits.query("SELECT 1");
    scene.until_waiting(1);
    // Right again, with what was right before as well.
    assert_eq!(stage.reload(&pool(2)), ["pool.pool_size: 1 -> 2, now"]);
    assert_eq!(waits.tags(), "TDCZI");
}

#[test]
fn what_needs_a_restart_is_said_each_time_and_the_rest_applies() {
    let stage = Stage::start("");
    let other = "[prepared]\nstatements_max = 7\n[retry]\nattempts = 9\n";
    let waits = "prepared.statements_max: 200 -> 7, after a restart";
    assert_eq!(stage.reload(other), ["retry.attempts: 3 -> 9, now", waits]);
    assert_eq!(stage.reload(other), [waits]);
    assert_eq!(stage.reload(""), ["retry.attempts: 9 -> 3, now"]);
}

#[test]
fn a_new_password_holds_for_new_logins_and_whoever_is_connected_stays() {
    let user = |password: &str| {
        format!(
            "[[user]]\nname = \"app\"\npassword = \"{password}\"\n[[user]]\nname = \"x\"\npassword = \"y\"\n"
        )
    };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, "correct horse\n").expect("a token");
    let flag = format!("listen.admin_token_file={}", file.display());
    let hba = "local all all trust\nhost all all 127.0.0.1/32 trust\n";
    let cluster = cluster(ClusterOptions::default().hba(hba));
    let url = format!("postgres://{APP}@127.0.0.1:{}/{APP}", cluster.port());
    let scene = Scene::with(BINARY, cluster, &url, &user("first"), &[&flag]);
    let text = std::fs::read_to_string(scene.gate.settings_file()).expect("its settings");
    let head = text.strip_suffix(&user("first")).expect("they end with those").to_owned();
    let stage = Stage { scene, head, _folder: folder };
    let port = stage.scene.gate.transaction;
    let mut before = Raw::log_in(port, APP, "first", APP);
    before.begin();
    assert_eq!(stage.reload(&user("second")), ["user[app]: a password -> another password, now"]);
    before.run("COMMIT");
    assert_eq!(before.value("SELECT 42"), "42");
    let mut after = Raw::log_in(port, APP, "second", APP);
    assert_eq!(after.value("SELECT 42"), "42");
    let mut refused = Raw::connect(port);
    let parameters = [("user", APP), ("database", APP)];
    let error = refused.try_log_in(&parameters, "first").expect_err("it was changed");
    assert_eq!(error.sqlstate(), "28P01");
    let body = stage.scene.gate.log().iter().map(ToString::to_string).collect::<String>();
    assert!(!body.contains("\"second\""), "no secret is logged");
}

#[test]
fn another_level_is_logged_from_then_on() {
    let stage = Stage::start("");
    let quiet = stage.head.replace("level = \"debug\"", "level = \"error\"");
    let loud = std::mem::take(&mut stage.head.clone());
    let gate = &stage.scene.gate;
    let post = |text: &str| {
        std::fs::write(gate.settings_file(), text).expect("it is written");
        assert_eq!(gate.post("/api/v1/reload", BEARER, "").0, 200);
    };
    post(&quiet);
    assert_eq!(gate.post("/api/v1/pause", BEARER, r#"{"database":"quiet"}"#).0, 200);
    post(&loud);
    assert_eq!(gate.post("/api/v1/pause", BEARER, r#"{"database":"loud"}"#).0, 200);
    gate.until_logged("\"loud\"");
    assert!(!gate.has_logged("\"quiet\""), "nothing was to be logged");
}
