//! What an operator does to a running gate over HTTP: pause, resume, reconnect.

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
