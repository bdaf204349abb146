//! The commands that ask and operate a running gate: what they say, and their exit codes.

use std::net::TcpListener;
use std::path::Path;

use serde_json::Value;
use tidegate_testkit::outcome::{self, Outcome};
use tidegate_testkit::scene::{ONE_SERVER, Scene};

const BINARY: &str = env!("CARGO_BIN_EXE_tidegate");

/// A gate that takes operations, and the folder with its token.
struct Operated {
    scene: Scene,
    folder: tempfile::TempDir,
}

fn tidegate(folder: &Path, arguments: &[&str]) -> Outcome {
    outcome::run(BINARY, folder, &[], arguments)
}

impl Operated {
    fn start(settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        std::fs::write(&file, "correct horse\n").expect("a token");
        let flag = format!("listen.admin_token_file={}", file.display());
        Self { scene: Scene::start(BINARY, settings, &[&flag]), folder }
    }

    fn api(&self) -> String {
        format!("http://127.0.0.1:{}", self.scene.gate.http)
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let mut all = arguments.to_vec();
        let api = self.api();
        all.extend(["--api", &api, "--token-file", "token"]);
        tidegate(self.folder.path(), &all)
    }
}

#[test]
fn pause_and_resume_say_what_was_done_and_what_is_next() {
    let gate = Operated::start(ONE_SERVER);
    let mut client = gate.scene.client(gate.scene.gate.transaction);
    client.begin();
    let said = gate.run(&["pause", "app"]).done();
    assert!(said.starts_with("PAUSED  database app: not at rest yet; 0 clients wait\n"), "{said}");
    assert!(said.contains("\n1 servers are with clients (session port 0, transaction port 1"));
    let held_out = gate.run(&["pause", "app", "--wait", "300ms"]);
    assert_eq!(
        (held_out.code, held_out.out.starts_with("PAUSED ")),
        (Some(1), true),
        "{held_out:?}"
    );
    client.run("COMMIT");
    let said = gate.run(&["pause", "app", "--wait", "30s"]).done();
    assert!(said.starts_with("PAUSED  database app: at rest, "), "{said}");
    let status = tidegate(gate.folder.path(), &["status", "--api", &gate.api()]).done();
    assert!(status.starts_with("PAUSED  "), "{status}");
    assert_eq!(
        gate.run(&["resume", "app"]).done(),
        "SERVED  database app again; 0 clients still wait for a server\n"
    );
    assert_eq!(client.value("SELECT 42"), "42");
    let json = gate.run(&["reconnect", "--json"]).done();
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        (&json["schema"], &json["operation"]),
        (&"tidegate.operation.v1".into(), &"reconnect".into())
    );
    let said = gate.run(&["reconnect", "app"]).done();
    assert!(said.starts_with("RETIRED  ") && said.contains(" of database app: "), "{said}");
}

#[test]
fn ps_names_a_client_and_kill_closes_it() {
    let gate = Operated::start(ONE_SERVER);
    let port = gate.scene.gate.transaction;
    let mut greedy = gate.scene.client_with(port, &[("application_name", "greedy")]);
    let mut other = gate.scene.client_with(port, &[("application_name", "other")]);
    greedy.begin();
    let list = gate.run(&["ps"]).done();
    assert!(list.starts_with("2 clients: 1 idle, 1 idle in transaction\n\nclient "), "{list}");
    let holders = gate.run(&["ps", "holders"]).done();
    let row = holders.lines().nth(3).expect("one holder");
    assert!(holders.starts_with("1 held server: ") && row.contains("greedy"), "{holders}");
    let id =
        list.lines().find(|line| line.contains("greedy")).and_then(|line| line.split(' ').next());
    let id = id.expect("a row begins with the id");
    let said = gate.run(&["kill", "--client", id]).done();
    assert!(
        said.starts_with(&format!("CLOSED  client {id}: greedy at 127.0.0.1, app/app, idle in")),
        "{said}"
    );
    assert!(
        greedy.until_end().iter().any(|frame| frame.tag == b'E' && frame.sqlstate() == "57P01")
    );
    let said = gate.run(&["kill", "--client", id]).failed(1);
    assert!(said.starts_with("tidegate: ") && said.contains(&format!("client {id}")), "{said}");
    let pid = other.backend();
    let said = gate.run(&["kill", "--pid", &pid]).done();
    assert!(said.ends_with(&format!("(pid {pid}), idle; no client has lost anything\n")), "{said}");
    assert_eq!(other.value("SELECT 42"), "42");
    let servers = gate.run(&["ps", "servers"]).done();
    assert!(servers.starts_with("1 server: 1 idle\n"), "{servers}");
    let json = gate.run(&["ps", "clients", "--json", "--limit", "1"]).done();
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&json["schema"], &json["total"]), (&"tidegate.clients.v1".into(), &1.into()));
}

#[test]
fn what_goes_wrong_is_said_with_the_remedy() {
    let gate = Operated::start("");
    let folder = gate.folder.path();
    let api = gate.api();
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port");
    let nowhere = format!("http://{}", nobody.local_addr().expect("an address"));
    drop(nobody);
    let said = tidegate(folder, &["pause", "--token-file", "token", "--api", &nowhere]).failed(3);
    assert!(said.contains("is it running? --api says where to look"), "{said}");
    let said = tidegate(folder, &["pause", "--api", &api]).failed(2);
    assert!(said.starts_with("tidegate: no token: name its file with --token-file"), "{said}");
    let said = tidegate(folder, &["pause", "--token-file", "missing", "--api", &api]).failed(2);
    assert!(said.starts_with("tidegate: the token file missing: "), "{said}");
    std::fs::write(folder.join("wrong"), "incorrect horse\n").expect("it is written");
    let said = tidegate(folder, &["pause", "--token-file", "wrong", "--api", &api]).failed(3);
    assert!(said.contains("does not accept the token; it takes the one in the file"), "{said}");
    let said = gate.run(&["resume", "nowhere"]).failed(1);
    assert_eq!(said, "tidegate: no client uses database \"nowhere\", and it is not paused\n");
    let said = gate.run(&["pause", "--wait", "long"]).failed(2);
    assert!(said.starts_with("tidegate: --wait: "), "{said}");
    assert_eq!(gate.run(&["kill"]).code, Some(2));
    // The settings of the gate name the token as well.
    let file = gate.scene.gate.settings_file();
    let settings = std::fs::read_to_string(&file).expect("its settings");
    let token = folder.join("token");
    let settings = settings
        .replace("[listen]\n", &format!("[listen]\nadmin_token_file = \"{}\"\n", token.display()));
    std::fs::write(folder.join("own.toml"), settings).expect("they are written");
    let said = tidegate(folder, &["resume", "--config", "own.toml", "--api", &api]).done();
    assert!(said.starts_with("SERVED  all databases again; "), "{said}");
}

#[test]
fn reload_says_what_applies_now_and_what_waits() {
    let mut gate = Operated::start("");
    let said = gate.run(&["reload"]).done();
    assert_eq!(said, "RELOADED  nothing is different; certificates and keys were read again\n");
    let file = gate.scene.gate.settings_file();
    let settings = std::fs::read_to_string(&file).expect("its settings");
    let more = "[pool]\npool_size = 7\n[prepared]\nstatements_max = 50\n";
    std::fs::write(&file, format!("{settings}{more}")).expect("they are written");
    let said = gate.run(&["reload"]).done();
    assert_eq!(
        said,
        "RELOADED  1 change applies now, 1 after a restart; connections are kept\n\
         pool.pool_size           10 -> 7    now\n\
         prepared.statements_max  200 -> 50  after a restart\n"
    );
    gate.scene.gate.allow("settings: ").allow("settings stay as they were");
    std::fs::write(&file, format!("{settings}[pool]\npool_sise = 7\n")).expect("it is written");
    let said = gate.run(&["reload"]).failed(2);
    assert!(
        said.starts_with("tidegate: nothing has changed; the settings have errors:\n"),
        "{said}"
    );
    assert!(said.contains("tidegate.toml:") && said.contains("pool_size"), "{said}");
}

#[test]
fn drain_lets_work_end_and_then_the_gate() {
    let mut gate = Operated::start("");
    let port = gate.scene.gate.transaction;
    let mut idle = gate.scene.client(port);
    let mut busy = gate.scene.client(port);
    busy.begin();
    let said = gate.run(&["drain"]).done();
    assert!(
        said.starts_with("DRAINING  2 clients are connected; new ones are refused\n"),
        "{said}"
    );
    let (code, body) = gate.scene.gate.get("/readyz");
    assert!(code == 503 && body.contains("draining"), "{body}");
    let status = tidegate(gate.folder.path(), &["status", "--api", &gate.api()]).done();
    assert!(status.starts_with("DRAINING  "), "{status}");
    let told = idle.until_end();
    assert!(told.iter().any(|frame| frame.tag == b'E' && frame.sqlstate() == "57P01"), "{told:?}");
    assert_eq!(busy.value("SELECT 42"), "42", "a transaction goes on");
    busy.query("COMMIT");
    let told = busy.until_end();
    assert_eq!(told.iter().map(|frame| char::from(frame.tag)).collect::<String>(), "CZE");
    assert_eq!(gate.scene.gate.wait(), Some(0));
}

#[test]
fn a_gate_with_nothing_to_do_answers_before_it_ends() {
    let mut gate = Operated::start("");
    let said = gate.run(&["drain"]).done();
    assert!(said.starts_with("DRAINING  0 clients are connected; "), "{said}");
    assert_eq!(gate.scene.gate.wait(), Some(0));
}
