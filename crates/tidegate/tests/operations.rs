//! What an operator does to a running gate over HTTP: pause, resume, reconnect, kill; and what it is
//! told of those who are connected.

use std::process::Command;
use std::thread;

use serde_json::Value;
use tidegate_testkit::raw::Raw;
use tidegate_testkit::scene::{APP, ONE_SERVER, Scene};
use tidegate_testkit::wait;

const BINARY: &str = env!("CARGO_BIN_EXE_tidegate");
const TOKEN: &str = "correct horse battery staple";
const BEARER: &str = "Authorization: Bearer correct horse battery staple";

/// A gate that takes operations; the folder holds the token.
fn scene(settings: &str) -> (Scene, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).expect("a token");
    let flag = format!("listen.admin_token_file={}", file.display());
    (Scene::start(BINARY, settings, &[&flag]), folder)
}

/// Posts to the gate; the code and the JSON of the answer.
fn post(scene: &Scene, operation: &str, head: &str, body: &str) -> (u16, Value) {
    let (code, body) = scene.gate.post(&format!("/api/v1/{operation}"), head, body);
    let json: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("no JSON: {body}"));
    assert_eq!(json["schema"], "tidegate.operation.v1");
    (code, json)
}

/// An operation that must succeed.
fn operate(scene: &Scene, operation: &str, body: &str) -> Value {
    let (code, json) = post(scene, operation, BEARER, body);
    assert_eq!((code, json["operation"].as_str()), (200, Some(operation)), "{json}");
    json
}

fn snapshot(scene: &Scene) -> Value {
    let (code, body) = scene.gate.get("/api/v1/snapshot");
    assert_eq!(code, 200);
    serde_json::from_str(&body).expect("JSON")
}

const OF_APP: &str = r#"{"database":"app"}"#;
const BACKENDS: &str = "SELECT count(*) FROM pg_stat_activity \
                        WHERE usename = 'app' AND application_name <> 'tidegate census'";

#[test]
fn a_pause_lets_a_transaction_end_holds_new_ones_and_a_resume_serves_them_in_order() {
    let (scene, _folder) = scene(ONE_SERVER);
    scene.look(
        "CREATE TABLE came (number serial, who int); GRANT ALL ON came TO app; \
                GRANT ALL ON came_number_seq TO app; SELECT 1",
    );
    let mut running = scene.client(scene.gate.transaction);
    let mut held: Vec<_> = (0..3).map(|_| scene.client(scene.gate.transaction)).collect();
    running.begin();
    let answer = operate(&scene, "pause", OF_APP);
    assert_eq!((answer["paused"].clone(), answer["at_rest"].clone()), (true.into(), false.into()));
    assert_eq!(answer["servers"]["transaction"], 1);
    for (who, client) in held.iter_mut().enumerate() {
        client.query(&format!("INSERT INTO came (who) VALUES ({who})"));
        scene.until_waiting(u32::try_from(who).expect("few") + 1);
    }
    running.run("SELECT 1");
    running.run("COMMIT");
    scene.until(BACKENDS, "0");
    wait::until("PostgreSQL has none of its backends", || {
        (operate(&scene, "pause", OF_APP)["at_rest"] == true).then_some(())
    });
    let seen = snapshot(&scene);
    assert_eq!(seen["paused"]["databases"][0], APP);
    assert_eq!(
        (&seen["paused"]["all"], &seen["pools"][0]["paused"]),
        (&false.into(), &true.into())
    );
    let api = format!("http://127.0.0.1:{}", scene.gate.http);
    let status = Command::new(BINARY).args(["status", "--api", &api]).output().expect("it runs");
    let status = String::from_utf8_lossy(&status.stdout);
    assert!(status.contains("\npaused    app\n"), "{status}");
    assert_eq!(scene.look("SELECT count(*) FROM came"), "0");
    let answer = operate(&scene, "resume", OF_APP);
    assert_eq!(answer["paused"], false);
    for client in &mut held {
        assert_eq!(client.tags(), "CZI");
    }
    assert_eq!(scene.look("SELECT string_agg(who::text, '' ORDER BY number) FROM came"), "012");
    assert_eq!(snapshot(&scene)["paused"]["databases"], Value::Array(Vec::new()));
}

#[test]
fn who_waits_through_a_pause_for_too_long_is_told_that_it_is_one() {
    let (scene, _folder) = scene("[pool]\npool_timeout = \"500ms\"\n");
    let mut client = scene.client(scene.gate.transaction);
    client.run("SELECT 1");
    operate(&scene, "pause", "");
    client.query("SELECT 2");
    let frames = client.until_ready();
    let error = frames.iter().find(|frame| frame.tag == b'E').expect("nobody resumes");
    assert_eq!(error.sqlstate(), "57P03");
    assert_eq!(error.field(b'M'), "database \"app\" is paused");
    assert!(error.field(b'H').ends_with("(TG027)"), "{error:?}");
    let (code, no) = post(&scene, "resume", BEARER, OF_APP);
    assert_eq!((code, no["error"].as_str()), (409, Some("conflict")), "{no}");
    operate(&scene, "resume", "{}");
    assert_eq!(client.value("SELECT 42"), "42", "the same client goes on");
}

#[test]
fn a_reconnect_replaces_each_server_and_no_client_sees_an_error() {
    let (scene, _folder) = scene("[pool]\npool_size = 3\nmax_overflow = 0\n");
    let mut clients: Vec<_> = (0..3).map(|_| scene.client(scene.gate.transaction)).collect();
    clients.iter_mut().for_each(Raw::begin);
    let old: Vec<_> = clients.iter_mut().map(Raw::backend).collect();
    let answer = operate(&scene, "reconnect", OF_APP);
    assert_eq!(answer["servers"]["retired"], 3, "{answer}");
    let working = clients.into_iter().map(|mut client| {
        thread::spawn(move || {
            client.run("COMMIT");
            (0..200).for_each(|_| client.run("SELECT 1"));
        })
    });
    working.collect::<Vec<_>>().into_iter().for_each(|one| one.join().expect("no error"));
    let old = old.join(",");
    scene.until(&format!("SELECT count(*) FROM pg_stat_activity WHERE pid IN ({old})"), "0");
    assert_eq!(scene.client(scene.gate.transaction).value("SELECT 42"), "42");
}

#[test]
fn only_who_has_the_token_may_operate_and_only_on_what_there_is() {
    let (scene, _folder) = scene("");
    let browser = format!("{BEARER}\r\nOrigin: http://127.0.0.1");
    let wrong = "Authorization: Bearer correct horse battery stable";
    for (head, body, code, error) in [
        ("", "", 401, "unauthorized"),
        (wrong, "", 401, "unauthorized"),
        ("Authorization: Bearer ", "", 401, "unauthorized"),
        (&browser, "", 403, "origin"),
        (BEARER, "all", 400, "body"),
        (BEARER, r#"{"database":"nowhere"}"#, 404, "unknown_database"),
    ] {
        let (got, no) = post(&scene, "reconnect", head, body);
        assert_eq!((got, no["error"].as_str()), (code, Some(error)), "{head}: {no}");
    }
    let (code, no) = post(&scene, "pause?database=app", BEARER, "");
    assert_eq!((code, no["error"].as_str()), (400, Some("query")), "{no}");
    assert_eq!(scene.gate.get("/api/v1/pause"), (405, "only POST is understood here\n".into()));
    assert_eq!(snapshot(&scene)["paused"]["all"], false, "none of this has paused anything");
}

#[test]
fn a_gate_without_a_token_takes_no_operations_and_says_how_it_would() {
    let scene = Scene::start(BINARY, "", &[]);
    let (code, no) = post(&scene, "pause", BEARER, "");
    assert_eq!((code, no["error"].as_str()), (403, Some("no_admin_token")), "{no}");
    assert!(no["detail"].as_str().expect("text").contains("set listen.admin_token_file"), "{no}");
}

// --- Who is connected. ---

/// A list, with all its rows.
fn list(scene: &Scene, name: &str) -> Vec<Value> {
    let (code, body) = scene.gate.get(&format!("/api/v1/{name}"));
    assert_eq!(code, 200, "{body}");
    let json: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(json["schema"], format!("tidegate.{name}.v1"));
    assert_eq!((&json["total"], &json["silent_workers"]), (&json["shown"], &0.into()));
    json[name].as_array().expect("rows").clone()
}

/// The one client with this application name.
fn client_row(scene: &Scene, application: &str) -> Value {
    let mut rows = list(scene, "clients");
    rows.retain(|row| row["application"] == application);
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.remove(0)
}

fn named(scene: &Scene, port: u16, application: &str) -> Raw {
    scene.client_with(port, &[("application_name", application)])
}

#[test]
fn the_lists_say_who_is_at_what_and_who_holds_which_server() {
    let (scene, _folder) = scene("[pool]\npool_size = 3\nmax_overflow = 0\n");
    let mut thinking = named(&scene, scene.gate.transaction, "thinking");
    let mut busy = named(&scene, scene.gate.session, "busy");
    let mut begun = named(&scene, scene.gate.transaction, "begun");
    let mut listens = named(&scene, scene.gate.transaction, "listens");
    let mut last = named(&scene, scene.gate.transaction, "last");
    let pid: u32 = thinking.backend().parse().expect("a number");
    thinking.begin();
    busy.query("SELECT pg_sleep(600)");
    begun.run("BEGIN");
    listens.run("LISTEN news");
    scene.until_running(1, "pg_sleep");
    scene.until_metric("tidegate_listening", &[], 1.0);
    last.query("SELECT 1");
    scene.until_waiting(1);

    let row = client_row(&scene, "thinking");
    assert_eq!(
        (&row["state"], &row["port"]),
        (&"idle in transaction".into(), &"transaction".into())
    );
    assert_eq!((&row["database"], &row["user"]), (&APP.into(), &APP.into()));
    let own = thinking.stream().local_addr().expect("an address");
    assert_eq!((&row["address"], &row["address_port"]), (&"127.0.0.1".into(), &own.port().into()));
    assert!(row["transaction_seconds"].is_number(), "{row}");
    assert_eq!(row["server_pid"].to_string(), scene.look(
        "SELECT pid FROM pg_stat_activity WHERE usename = 'app' AND state = 'idle in transaction'",
    ));
    let id = row["client"].as_str().expect("an id");
    assert_eq!(id.split_once('.').expect("two numbers").0, thinking.pid.to_string());
    assert_eq!(client_row(&scene, "busy")["state"], "active");
    let row = client_row(&scene, "begun");
    assert_eq!((&row["state"], &row["server"]), (&"idle in transaction".into(), &Value::Null));
    assert_eq!(client_row(&scene, "listens")["state"], "listening");
    assert_eq!(client_row(&scene, "last")["state"], "waiting");

    let rows = list(&scene, "clients");
    assert_eq!(rows.len(), 5);
    assert!(rows[0]["server"].is_u64() && rows[1]["server"].is_u64(), "{rows:?}");
    assert_eq!(rows[2]["state"], "waiting");
    let (code, body) = scene.gate.get("/api/v1/clients?limit=1");
    let cut: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((code, &cut["shown"], &cut["total"]), (200, &1.into(), &5.into()), "{cut}");
    assert_eq!(scene.gate.get("/api/v1/clients?limit=0").0, 400);

    let holders = list(&scene, "holders");
    let names: Vec<_> = holders.iter().map(|row| row["application"].as_str()).collect();
    assert_eq!(holders.len(), 3, "{holders:?}");
    assert!(names.contains(&Some("thinking")) && names.contains(&Some("busy")), "{names:?}");
    let ear = holders.iter().find(|row| row["client"].is_null()).expect("one listens");
    assert_eq!(ear["listeners"], 1, "{ear}");
    let servers = list(&scene, "servers");
    let of_busy = servers.iter().find(|row| row["application"] == "busy").expect("it has one");
    assert_eq!((&of_busy["state"], &of_busy["retired"]), (&"active".into(), &false.into()));
    assert!(servers.iter().any(|row| row["pid"] == pid), "{servers:?}");
    thinking.run("COMMIT");
    assert_eq!(last.tags(), "TDCZI");
}

// --- One is closed. ---

/// That the connection ends with this FATAL error, and nothing else.
fn ends_with(mut client: Raw, sqlstate: &str, code: &str) {
    let frames = client.until_end();
    let errors: Vec<_> = frames.iter().filter(|frame| frame.tag == b'E').collect();
    assert_eq!(errors.len(), 1, "{frames:?}");
    assert_eq!(
        (errors[0].field(b'S').as_str(), errors[0].sqlstate().as_str()),
        ("FATAL", sqlstate)
    );
    assert!(errors[0].field(b'H').ends_with(&format!("({code})")), "{:?}", errors[0]);
}

fn kill(scene: &Scene, body: &Value) -> Value {
    operate(scene, "kill", &body.to_string())
}

#[test]
fn a_client_that_is_closed_in_mid_statement_leaves_its_server_to_the_next() {
    let (scene, _folder) = scene(ONE_SERVER);
    for port in scene.ports() {
        let mut client = named(&scene, port, "greedy");
        let backend = client.backend();
        client.run("CREATE TABLE IF NOT EXISTS left_behind (n int)");
        client.query("INSERT INTO left_behind VALUES (1); SELECT pg_sleep(600)");
        scene.until_running(1, "pg_sleep");
        let id = client_row(&scene, "greedy")["client"].clone();
        let answer = kill(&scene, &serde_json::json!({ "client": id }));
        assert_eq!(answer["client"]["application"], "greedy", "{answer}");
        assert_eq!(answer["client"]["state"], "active", "{answer}");
        ends_with(client, "57P01", "TG036");
        let mut next = scene.client(scene.gate.transaction);
        assert_eq!(next.backend(), backend, "the server was recovered");
        assert_eq!(next.value("SELECT count(*) FROM left_behind"), "0");
        let body = serde_json::json!({ "client": id }).to_string();
        let (code, no) = post(&scene, "kill", BEARER, &body);
        assert!(matches!(code, 404 | 409), "it has gone, or is about to: {no}");
    }
    assert_eq!(scene.gate.metric("tidegate_client_connections_closed_total", &["killed"]), 2.0);
}

#[test]
fn closing_one_client_is_nothing_to_those_beside_it() {
    let (scene, _folder) = scene(ONE_SERVER);
    let [mut holder, mut waits, idle] =
        ["holder", "waits", "idle"].map(|name| named(&scene, scene.gate.transaction, name));
    holder.begin();
    waits.query("SELECT 1");
    scene.until_waiting(1);
    for name in ["waits", "idle"] {
        let id = client_row(&scene, name)["client"].clone();
        let answer = kill(&scene, &serde_json::json!({ "client": id }));
        assert_eq!(answer["client"]["server"], Value::Null, "{answer}");
    }
    ends_with(waits, "57P01", "TG036");
    ends_with(idle, "57P01", "TG036");
    scene.until_waiting(0);
    holder.run("COMMIT");
    // The place is somebody else's by now, which the old id does not name.
    let mut next = named(&scene, scene.gate.transaction, "next");
    let id = client_row(&scene, "next")["client"].as_str().expect("an id").to_owned();
    let (pid, serial) = id.split_once('.').expect("two numbers");
    let old = format!("{pid}.{}", serial.parse::<u32>().expect("a number") - 1);
    let body = serde_json::json!({ "client": old }).to_string();
    assert_eq!(post(&scene, "kill", BEARER, &body).0, 404);
    assert_eq!(next.value("SELECT 42"), "42");
}

#[test]
fn a_server_is_closed_with_what_it_runs_and_its_client_is_told_the_truth() {
    let (scene, _folder) = scene("[pool]\npool_size = 2\nmax_overflow = 0\n");
    let mut idles = scene.client(scene.gate.session);
    let mut busy = scene.client(scene.gate.transaction);
    let pids = [idles.backend(), busy.backend()];
    busy.query("SELECT pg_sleep(600)");
    scene.until_running(1, "pg_sleep");
    let answer = kill(&scene, &serde_json::json!({ "pid": pids[0].parse::<u32>().unwrap() }));
    assert_eq!(answer["client"]["port"], "session", "{answer}");
    ends_with(idles, "57P01", "TG037");
    let row = list(&scene, "holders").remove(0);
    let answer = kill(&scene, &serde_json::json!({ "server": row["server"] }));
    assert_eq!(answer["client"]["client"], row["client"], "{answer}");
    ends_with(busy, "57P01", "TG037");
    for pid in pids {
        scene.until(&format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}"), "0");
    }
    let mut next = scene.client(scene.gate.transaction);
    let pid = next.backend();
    let answer = kill(&scene, &serde_json::json!({ "pid": pid.parse::<u32>().unwrap() }));
    assert_eq!((&answer["client"], &answer["server"]["state"]), (&Value::Null, &"idle".into()));
    assert_ne!(next.backend(), pid, "who has no server at the moment notices nothing");
    let (code, no) = post(&scene, "kill", BEARER, r#"{"server":1000000}"#);
    assert_eq!((code, no["error"].as_str()), (404, Some("unknown")), "{no}");
    assert_eq!(post(&scene, "kill", "", r#"{"server":1}"#).0, 401);
    assert_eq!(post(&scene, "kill", BEARER, r#"{"server":"1"}"#).0, 400);
}
