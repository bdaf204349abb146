//! What is shown and written of the settings agrees with the table, and tells no secret.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tidegate_config::{
    Loaded, Sources, example_toml, load, reference_markdown, schema_json, settings, show, show_json,
};

fn loaded(file: &str) -> Loaded {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("tidegate.toml");
    fs::write(&path, file).expect("the file can be written");
    let env = [("DATABASE_URL".to_owned(), "postgres://app:hunter2@db/shop".to_owned())];
    let sources = Sources { file: Some(path), search: vec![], env: &env, flags: &[] };
    let mut loaded = load(&sources).unwrap_or_else(|problems| panic!("refused: {problems}"));
    loaded.file = Some(PathBuf::from("tidegate.toml"));
    loaded
}

#[track_caller]
fn up_to_date(path: &str, expected: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let found = fs::read_to_string(root.join(path)).unwrap_or_default();
    assert!(
        found == expected,
        "{path} is not what the table of settings says: run `cargo xtask docs`"
    );
}

#[test]
fn the_reference_page_is_up_to_date() {
    up_to_date("docs/reference/settings.md", &reference_markdown());
}

#[test]
fn the_example_file_is_up_to_date() {
    up_to_date("tidegate.example.toml", &example_toml());
}

#[test]
fn the_example_file_changes_nothing() {
    let (example, empty) = (loaded(&example_toml()), loaded(""));
    assert_eq!((example.config, example.warnings), (empty.config, vec![]));
}

#[test]
fn the_commented_part_of_the_example_is_right_too() {
    // Comments with a key and a value, and the headers of repeated sections.
    let uncommented: Vec<String> = example_toml()
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.starts_with("[[") || rest.contains(" = \"") => rest.to_owned(),
            _ => line.to_owned(),
        })
        .collect();
    let example = loaded(&uncommented.join("\n"));
    assert_eq!(example.warnings, vec![]);
    assert_eq!((example.config.pool_for.len(), example.config.users.len()), (1, 1));
    assert_eq!(example.config.pool_for[0].database.as_deref(), Some("reports"));
}

#[test]
fn every_setting_is_in_the_reference_the_example_and_the_schema() {
    let (reference, example, schema) = (reference_markdown(), example_toml(), schema_json());
    for setting in settings() {
        assert!(reference.contains(&format!("\n### `{}`\n", setting.name)), "{}", setting.name);
        assert!(example.contains(&format!("{} = ", setting.key())), "{}", setting.name);
        let top = &schema["properties"];
        let section = &top[setting.section()];
        let entry = match setting.section() {
            "" => &top[setting.key()],
            "user" | "pool_for" => &section["items"]["properties"][setting.key()],
            _ => &section["properties"][setting.key()],
        };
        assert_eq!(entry["description"], setting.doc, "{}", setting.name);
    }
    assert!(schema["properties"]["pool_for"]["items"]["properties"]["pool_size"].is_object());
}

const FILE: &str = "\
plan = \"free\"

[listen]
http = [\"127.0.0.1:1\", \"[::1]:1\"]
session = \"off\"

[pool]
pool_recycle = \"90m\"

[[pool_for]]
database = \"reports\"
pool_pre_ping = \"always\"

[[user]]
name = \"a \\\"b\\\"\"
password = \"hunter2\"

[auth]
query = '''SELECT '\"', $1'''
";

const SHOWN: &str = r#"plan = "free"                            # tidegate.toml:1

[upstream]
url = "postgres://app:***@db:5432/shop?sslmode=prefer" # env DATABASE_URL
password_file = ""                       # default
kind = "auto"                            # default
connections = "auto"                     # default
headroom = 2                             # default
census = "5s"                            # default

[listen]
session = "off"                          # tidegate.toml:5
transaction = "127.0.0.1:6544"           # default
http = ["127.0.0.1:1","[::1]:1"]         # tidegate.toml:4
tls = "off"                              # default
tls_cert = ""                            # default
tls_key = ""                             # default
tls_client_ca = ""                       # default
tls_client_cert = "optional"             # default
workers = 1                              # default
control = ""                             # default
clients_max = 10000                      # default
memory_max = "auto"                      # default
admin_token_file = ""                    # default

[pool]
pool_size = 5                            # default
max_overflow = 10                        # default
pool_timeout = "30s"                     # default
pool_recycle = "1h30m"                   # tidegate.toml:8
pool_pre_ping = "30s"                    # default
answer_probes = "begin"                  # default
pins_max = "auto"                        # default
overflow_linger = "10s"                  # default
server_idle_timeout = "10m"              # default
reset = "auto"                           # default

[[pool_for]]
database = "reports"                     # tidegate.toml:11
pool_pre_ping = "always"                 # tidegate.toml:12

[timeouts]
client_login = "15s"                     # default
connect = "5s"                           # default
idle_in_transaction = "1m"               # default
transaction = "off"                      # default
query = "off"                            # default
client_idle = "off"                      # default
cancel = "5s"                            # default
drain = "30s"                            # default

[retry]
attempts = 3                             # default
multiplier = "1s"                        # default
min = "2s"                               # default
max = "10s"                              # default
jitter = true                            # default
budget = 0.1                             # default
read_only = false                        # default

[prepared]
statements_max = 200                     # default
keep_unnamed = true                      # default

[log]
format = "text"                          # default
level = "info"                           # default

[[user]]
name = "a \"b\""                         # tidegate.toml:15
password = "***"                         # tidegate.toml:16

[auth]
query = "SELECT '\"', $1"                # tidegate.toml:19
query_cache = "1m"                       # default
admin_users = ""                         # default
stats_users = ""                         # default

[console]
pgbouncer = "1.18"                       # default

[profile]
environment = "production"               # default
"#;

#[test]
fn show_tells_every_value_and_its_origin() {
    let text = show(&loaded(FILE), true);
    // The file has another folder in each run.
    let lines: Vec<String> = text
        .lines()
        .map(|line| match (line.split_once("# /"), line.rsplit_once("/tidegate.toml:")) {
            (Some((before, _)), Some((_, at))) => format!("{before}# tidegate.toml:{at}"),
            _ => line.to_owned(),
        })
        .collect();
    let text = lines.join("\n") + "\n";
    assert_eq!(text, SHOWN, "--- got\n{text}");
}

#[test]
fn what_is_shown_without_origins_can_be_loaded_again() {
    let first = loaded(FILE);
    let again = loaded(&show(&first, false));
    let hidden = |mut loaded: Loaded| {
        loaded.config.upstream.password = None;
        loaded.config.users.clear();
        loaded.config
    };
    assert_eq!(hidden(first), hidden(again));
}

#[test]
fn what_is_asked_of_tls_can_be_loaded_again_too() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = |name: &str| {
        let path = folder.path().join(name);
        fs::write(&path, "PEM").expect("the file can be written");
        path.display().to_string()
    };
    let (root, pem, key) = (file("my roots.pem"), file("app.pem"), file("app.key"));
    let written = format!(
        "[upstream]\nurl = \"host=h1,h2 hostaddr=10.0.0.1,::1 user=app sslmode=verify-full \
         sslrootcert='{root}' sslcert={pem} sslkey={key} sslnegotiation=direct \
         channel_binding=require sslsni=0\"\n[listen]\ntls = \"allow\"\n\
         tls_cert = \"{pem}\"\ntls_key = \"{key}\"\ntls_client_ca = \"{root}\"\n"
    );
    let first = loaded(&written);
    let folder = folder.path().display();
    assert_eq!(
        first.config.upstream.url_redacted(),
        format!(
            "postgres://app@h1:5432,h2:5432/app?sslmode=verify-full&hostaddr=10.0.0.1,%3A%3A1&\
             sslrootcert={folder}/my%20roots.pem&sslcert={folder}/app.pem&\
             sslkey={folder}/app.key&sslnegotiation=direct&channel_binding=require&sslsni=0"
        )
    );
    assert_eq!(loaded(&show(&first, false)).config, first.config);
}

#[test]
fn show_json_has_the_shape_of_the_file() {
    let shown = show_json(&loaded(FILE), true);
    assert_eq!(shown["schema"], "tidegate.settings.v1");
    assert_eq!(shown["file"], "tidegate.toml");
    assert_eq!(shown["settings"]["plan"], "free");
    assert_eq!(shown["settings"]["pool"]["pool_size"], 5);
    assert_eq!(shown["settings"]["pool_for"][0]["pool_pre_ping"], "always");
    assert_eq!(shown["settings"]["user"][0]["password"], "***");
    assert_eq!(shown["origins"]["upstream.url"], "env DATABASE_URL");
    assert_eq!(show_json(&loaded(FILE), false).get("origins"), None);
    for setting in settings() {
        let section = &shown["settings"][setting.section()];
        let value = match setting.section() {
            "" => &shown["settings"][setting.key()],
            "pool_for" | "user" => continue,
            _ => &section[setting.key()],
        };
        assert_ne!(value, &Value::Null, "{} is not shown", setting.name);
    }
}

#[test]
fn no_secret_is_shown() {
    let loaded = loaded(FILE);
    for text in [show(&loaded, true), show_json(&loaded, true).to_string(), format!("{loaded:?}")] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}
