//! The command line: what it says, on which stream, and with which exit code.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tidegate_scratch::ClusterOptions;
use tidegate_testkit::certificates::{day, self_signed};
use tidegate_testkit::gate::Gate;
use tidegate_testkit::outcome::{self, Outcome};
use tidegate_testkit::scene::{APP, Scene, cluster};

const BINARY: &str = env!("CARGO_BIN_EXE_tidegate");
const URL: &str = "postgres://app:hunter2@db.example.com/app";

/// Runs the binary in `folder`, with `env` and nothing else of ours.
fn tidegate(folder: &Path, env: &[(&str, &str)], arguments: &[&str]) -> Outcome {
    outcome::run(BINARY, folder, env, arguments)
}

/// A folder with a settings file.
fn folder_with(settings: &str) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    fs::write(folder.path().join("tidegate.toml"), settings).expect("it is written");
    folder
}

fn empty() -> TempDir {
    TempDir::new().expect("a temporary folder")
}

#[test]
fn certificates_and_verifiers_are_looked_into_before_anything_starts() {
    let folder = folder_with(
        "[listen]\ntls = \"require\"\ntls_cert = \"gate.crt\"\ntls_key = \"gate.key\"\n",
    );
    let url = [("DATABASE_URL", URL)];
    let own = self_signed(&["localhost"], |_| {});
    let other = self_signed(&["localhost"], |_| {});
    let key = folder.path().join("gate.key");
    for (certificate, key_text, expected) in [
        ("nonsense", &own.key, "gate.crt\" has no certificate in it"),
        (&own.certificate, &other.key, "gate.key"),
    ] {
        fs::write(folder.path().join("gate.crt"), certificate).expect("it is written");
        fs::write(&key, key_text).expect("it is written");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("it is ours");
        let said = tidegate(folder.path(), &url, &["config", "check"]).failed(2);
        assert!(said.contains(expected), "{said}");
        let said = tidegate(folder.path(), &url, &["run"]).failed(2);
        assert!(said.contains(expected), "{said}");
    }
    fs::write(&key, &own.key).expect("it is written");
    tidegate(folder.path(), &url, &["config", "check"]).done();
    // Nothing is wrong with it, but whoever verifies it will say otherwise.
    let expired = self_signed(&["localhost"], |wanted| wanted.not_after = day(2020, 12, 31));
    fs::write(folder.path().join("gate.crt"), &expired.certificate).expect("it is written");
    fs::write(&key, &expired.key).expect("it is written");
    let outcome = tidegate(folder.path(), &url, &["config", "check"]);
    let warning = "warning: a certificate in \"gate.crt\" has expired on 2020-12-31: clients";
    assert!(outcome.err.contains(warning), "{outcome:?}");
    assert_eq!(outcome.code, Some(0));
}

#[test]
fn config_check_tells_every_problem_with_its_place() {
    let folder = folder_with(&format!(
        "plan = \"fre\"\n[upstream]\nurl = \"{URL}\"\n[pool]\npool_sze = 5\npool_timeout = 30\n"
    ));
    let arguments = ["config", "check", "--config", "tidegate.toml", "--set", "pool.reset=maybe"];
    let said = tidegate(folder.path(), &[], &arguments).failed(2);
    for words in [
        "tidegate.toml:1:",
        "tidegate.toml:5:1: pool.pool_sze is not a setting; did you mean pool.pool_size?",
        "tidegate.toml:6:",
        "command line, pool.reset: ",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let folder = folder_with(&format!("[upstream]\nurl = \"{URL}\"\n"));
    let said = tidegate(folder.path(), &[], &["config", "check"]).done();
    assert!(said.contains("tidegate.toml: the settings are right"), "{said}");
}

#[test]
fn a_command_without_an_upstream_says_how_to_name_one() {
    for arguments in [&["run"][..], &["config", "check"], &["config", "show"]] {
        let said = tidegate(empty().path(), &[], arguments).failed(2);
        assert!(said.contains("DATABASE_URL"), "{said}");
    }
    let said = tidegate(empty().path(), &[("DATABASE_URL", URL)], &["config", "check"]).done();
    assert!(said.contains("the settings are right"), "{said}");
}

#[test]
fn config_show_hides_secrets() {
    let settings =
        format!("[upstream]\nurl = \"{URL}\"\n[[user]]\nname = \"eve\"\npassword = \"hunter2\"\n");
    let folder = folder_with(&settings);
    let file = ["--config", "tidegate.toml"];
    for command in [
        &["config", "show"][..],
        &["config", "show", "--origins"],
        &["config", "show", "--json"],
        &["config", "origins"],
    ] {
        let shown = tidegate(folder.path(), &[], &[command, &file].concat()).done();
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("db.example.com") && shown.contains("pool_timeout"), "{shown}");
    }
    let shown = tidegate(folder.path(), &[], &["config", "origins"]).done();
    assert!(shown.contains("tidegate.toml:2"), "{shown}");
    let shown = tidegate(folder.path(), &[], &["config", "show", "--json"]).done();
    serde_json::from_str::<Value>(&shown).expect("it is JSON");
}

#[test]
fn what_config_show_prints_is_a_settings_file() {
    let flags = ["config", "show", "--set", "pool.pool_size=7", "--plan", "pro"];
    let shown = tidegate(empty().path(), &[("DATABASE_URL", URL)], &flags).done();
    let folder = folder_with(&shown);
    let env = [("DATABASE_URL", URL)];
    let arguments = ["config", "show", "--config", "tidegate.toml", "--url", URL];
    assert_eq!(tidegate(folder.path(), &env, &arguments).done(), shown);
}

#[test]
fn config_schema_is_a_json_schema() {
    let schema = tidegate(empty().path(), &[], &["config", "schema"]).done();
    let schema: Value = serde_json::from_str(&schema).expect("it is JSON");
    assert!(schema["$schema"].is_string() && schema["properties"]["pool"].is_object(), "{schema}");
}

#[test]
fn run_ends_when_an_address_is_taken_and_names_it_with_the_remedy() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = holder.local_addr().expect("an address").to_string();
    for port in ["listen.session", "listen.transaction", "listen.http"] {
        let mut arguments = vec!["run".to_owned()];
        for name in ["listen.session", "listen.transaction", "listen.http"] {
            let address = if name == port { &taken } else { "127.0.0.1:0" };
            arguments.extend(["--set".to_owned(), format!("{name}={address}")]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let said = tidegate(empty().path(), &[("DATABASE_URL", URL)], &arguments).failed(3);
        assert!(said.contains(&taken), "{said}");
        assert!(said.contains("another process has it: stop it, or choose another"), "{said}");
    }
}

#[test]
fn a_second_gate_on_the_same_ports_ends_and_the_first_goes_on() {
    let scene = Scene::start(BINARY, "", &[]);
    let session = format!("listen.session=127.0.0.1:{}", scene.gate.session);
    let transaction = format!("listen.transaction=127.0.0.1:{}", scene.gate.transaction);
    let arguments = ["run", "--set", &session, "--set", &transaction, "--set", "listen.http=off"];
    let said = tidegate(empty().path(), &[("DATABASE_URL", URL)], &arguments).failed(3);
    assert!(said.contains(&format!("127.0.0.1:{}", scene.gate.session)), "{said}");
    for port in scene.ports() {
        for _ in 0..10 {
            assert_eq!(scene.client(port).value("SELECT 42"), "42");
        }
    }
}

#[test]
fn flags_that_are_no_settings_are_told_with_the_nearest_name() {
    let env = [("DATABASE_URL", URL)];
    let said = tidegate(empty().path(), &env, &["run", "--set", "pool.pool_sise=5"]).failed(2);
    assert!(said.contains("pool.pool_sise") && said.contains("pool.pool_size?"), "{said}");
    let said = tidegate(empty().path(), &env, &["run", "--set", "plan"]).failed(2);
    assert!(said.contains("expected NAME=VALUE"), "{said}");
    let said = tidegate(empty().path(), &env, &["run", "--plan", "fre"]).failed(2);
    assert!(said.contains("command line, plan: ") && said.contains("free"), "{said}");
    let said = tidegate(empty().path(), &env, &["run", "--sett", "a=b"]).failed(2);
    assert!(said.contains("--set"), "{said}");
    let said = tidegate(empty().path(), &env, &["rum"]).failed(2);
    assert!(said.contains("'run'"), "{said}");
}

#[test]
fn version_help_and_completions_go_to_stdout() {
    let version = tidegate(empty().path(), &[], &["version"]).done();
    assert_eq!(version, concat!("tidegate ", env!("CARGO_PKG_VERSION"), "\n"));
    assert_eq!(tidegate(empty().path(), &[], &["--version"]).done(), version);
    let help = tidegate(empty().path(), &[], &["--help"]).done();
    for command in ["run", "demo", "init", "config", "status", "completions", "version"] {
        assert!(help.contains(&format!("\n  {command}")), "{command}: {help}");
    }
    let script = tidegate(empty().path(), &[], &["completions", "bash"]).done();
    assert!(script.contains("complete -F _tidegate"), "{script}");
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().expect("bash");
    let mut stdin = bash.stdin.take().expect("stdin is piped");
    stdin.write_all(script.as_bytes()).expect("bash reads");
    drop(stdin);
    assert!(bash.wait().expect("bash ends").success(), "bash does not understand it");
}

#[test]
fn status_says_how_a_running_gate_is() {
    let folder = empty();
    let control = folder.path().join("control");
    let setting = format!("listen.control={}", control.display());
    let mut scene = Scene::start(BINARY, "plan = \"free\"", &[&setting]);
    scene.until_metric("tidegate_budget_foreign_connections", &[], 1.0);
    let mut client = scene.client(scene.gate.transaction);
    client.begin();
    client.run("SELECT 1");
    let places =
        [format!("http://127.0.0.1:{}", scene.gate.http), format!("unix:{}", control.display())];
    for api in &places {
        let text = tidegate(folder.path(), &[], &["status", "--api", api]).done();
        assert!(text.starts_with("WELL  nobody waits; 2 of 14 "), "{text}");
        assert!(text.contains(APP) && !text.contains('\x1b'), "{text}");
        let json = tidegate(folder.path(), &[], &["status", "--json", "--api", api]).done();
        let json: Value = serde_json::from_str(&json).expect("it is JSON");
        assert_eq!(json["schema"], "tidegate.snapshot.v1");
        assert_eq!(json["budget"]["usable"], 14);
        assert_eq!(json["pools"][0]["ports"][1]["active"], 1);
    }
    // Nothing is left behind.
    scene.gate.signal("INT");
    client.run("COMMIT");
    assert_eq!(scene.gate.wait(), Some(130));
    assert!(!control.exists(), "the control socket is still there");
    let said = tidegate(folder.path(), &[], &["status", "--api", &places[0]]).failed(3);
    assert!(said.contains(&places[0]) && said.contains("is it running?"), "{said}");
}

#[test]
fn status_without_a_gate_says_where_it_looked() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let api = format!("http://{}", port.expect("a free port"));
    for json in [&[][..], &["--json"]] {
        let arguments = [&["status", "--api", &api][..], json].concat();
        let said = tidegate(empty().path(), &[], &arguments).failed(3);
        assert!(said.contains(&api) && said.contains("is it running? --api says"), "{said}");
    }
    let said = tidegate(empty().path(), &[], &["status", "--api", "nonsense"]).failed(3);
    assert!(said.contains("--api takes http://HOST:PORT"), "{said}");
}

#[test]
fn ctrl_c_ends_a_gate_and_leaves_nothing_behind() {
    let mut scene = Scene::start(BINARY, "", &[]);
    let mut client = scene.client(scene.gate.transaction);
    client.run("SELECT 1");
    scene.gate.signal("INT");
    assert_eq!(scene.gate.wait(), Some(130));
    scene.until("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'", "0");
}

#[test]
fn a_second_ctrl_c_ends_a_gate_at_once() {
    let mut scene = Scene::start(BINARY, "", &[]);
    let mut client = scene.client(scene.gate.transaction);
    client.begin();
    client.run("SELECT 1");
    scene.gate.signal("INT");
    tidegate_testkit::wait::until("the gate drains", || {
        (scene.gate.get("/readyz").0 == 503).then_some(())
    });
    scene.gate.signal("INT");
    assert_eq!(scene.gate.wait(), Some(130));
}

#[test]
fn init_writes_settings_that_check_accepts_and_that_run() {
    let cluster = cluster(ClusterOptions::default());
    let url = cluster.url(APP, "secret", APP);
    let folder = empty();
    let said = tidegate(folder.path(), &[], &["init", "--url", &url]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("wrote tidegate.toml"), "{}", said.out);
    let file = fs::read_to_string(folder.path().join("tidegate.toml")).expect("it was written");
    assert!(!file.contains(":secret"), "{file}");
    assert!(file.contains("max_connections 100"), "{file}");
    let password = folder.path().join("tidegate.password");
    let mode = fs::metadata(&password).expect("it was written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    tidegate(folder.path(), &[], &["config", "check", "--config", "tidegate.toml"]).done();

    // A gate with these settings lets the application in.
    let flag = format!("upstream.password_file={}", password.display());
    let url = url.replace(":secret", "");
    let gate = Gate::start(BINARY, &url, "", &[&flag]);
    let mut client = tidegate_testkit::raw::Raw::log_in(gate.transaction, APP, "secret", APP);
    assert_eq!(client.value("SELECT 42"), "42");

    let said = tidegate(folder.path(), &[], &["init", "--url", &url]).failed(1);
    assert!(said.contains("tidegate.toml is there already; --force"), "{said}");
    let kept = fs::read_to_string(folder.path().join("tidegate.toml")).expect("it is there");
    assert_eq!(kept, file);
    let env = [("DATABASE_URL", cluster.url(APP, "secret", APP))];
    let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
    let said = tidegate(folder.path(), &env, &["init", "--force"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let file = fs::read_to_string(folder.path().join("tidegate.toml")).expect("it was written");
    assert!(file.contains("${DATABASE_URL}") && !file.contains(":secret"), "{file}");
    tidegate(folder.path(), &env, &["config", "check"]).done();
}

#[test]
fn init_without_a_server_writes_nothing() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = port.expect("a free port");
    let url = format!("postgres://app:hunter2@{address}/app");
    let folder = empty();
    let said = tidegate(folder.path(), &[], &["init", "--url", &url]).failed(3);
    assert!(said.contains(&address.to_string()), "{said}");
    assert!(said.contains("nothing was written"), "{said}");
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
    let cluster = cluster(ClusterOptions::default());
    let url = cluster.url(APP, "hunter2", APP);
    let said = tidegate(folder.path(), &[], &["init", "--url", &url]).failed(3);
    assert!(said.contains("password authentication failed"), "{said}");
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
}
