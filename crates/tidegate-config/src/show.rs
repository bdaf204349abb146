//! Showing: the settings in force, as a settings file or as JSON, without their secrets.

use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};

use tidegate_pool_core::settings::{PoolSettings, PrePing};

use crate::config::{
    ClientTimeouts, Config, Credential, ListenAddress, PoolOverrides, TimeoutOverrides, User,
};
use crate::duration::format_duration;
use crate::load::Loaded;
use crate::secret::Secret;
use crate::size::format_size;
use crate::table::{SECTIONS, SECTIONS_REPEATED};

/// The settings in force in the form of a settings file: every setting with its value, `auto`
/// resolved where the plan resolves it, secrets as `***`. With `origins`, a comment behind each
/// value says where it came from.
pub fn show(loaded: &Loaded, origins: bool) -> String {
    let mut text = String::new();
    for (section, rows) in sections(&loaded.config) {
        for (index, row) in rows.iter().enumerate() {
            let (header, prefix) = match (section, is_repeated(section)) {
                ("", _) => (String::new(), String::new()),
                (_, true) => (format!("\n[[{section}]]\n"), format!("{section}[{}].", index + 1)),
                (_, false) => (format!("\n[{section}]\n"), format!("{section}.")),
            };
            text.push_str(&header);
            for (key, value) in row {
                // A JSON string or list of strings is also one of TOML.
                let line = format!("{key} = {value}");
                if origins {
                    let origin = loaded.origins.get(&format!("{prefix}{key}"));
                    text.push_str(&format!("{line:<COMMENT_COLUMN$} # {origin}\n"));
                } else {
                    text.push_str(&format!("{line}\n"));
                }
            }
        }
    }
    text
}

/// As [`show`], for programs: `settings` in the shape of the file, with `origins` also the source
/// of each setting that is not a default, by name.
pub fn show_json(loaded: &Loaded, origins: bool) -> Value {
    let mut settings = Map::new();
    for (section, rows) in sections(&loaded.config) {
        let mut rows = rows.into_iter().map(|row| {
            let entries = row.into_iter().map(|(key, value)| (key.to_owned(), value));
            entries.collect::<Map<_, _>>()
        });
        if is_repeated(section) {
            settings.insert(section.to_owned(), rows.map(Value::Object).collect());
        } else if let Some(row) = rows.next() {
            if section.is_empty() {
                settings.extend(row);
            } else {
                settings.insert(section.to_owned(), Value::Object(row));
            }
        }
    }
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    let mut shown = json!({
        "schema": "tidegate.settings.v1",
        "file": loaded.file.as_ref().map(|file| file.display().to_string()),
        "settings": settings,
        "warnings": warnings,
    });
    if origins {
        let origins = loaded.origins.iter();
        shown["origins"] =
            origins.map(|(name, origin)| (name.to_owned(), json!(origin.to_string()))).collect();
    }
    shown
}

/// Every setting in force by its name, as plain text and without its secrets; one of a repeated section with
/// its number, `pool_for[1].pool_size`.
pub fn list(config: &Config) -> Vec<(String, String)> {
    let mut list = Vec::new();
    for (section, rows) in sections(config) {
        for (index, row) in rows.into_iter().enumerate() {
            for (key, value) in row {
                let name = match (section, is_repeated(section)) {
                    ("", _) => key.to_owned(),
                    (_, true) => format!("{section}[{}].{key}", index + 1),
                    (_, false) => format!("{section}.{key}"),
                };
                let value = match value {
                    Value::String(text) => text,
                    Value::Array(items) => {
                        let items = items.iter().filter_map(Value::as_str);
                        items.collect::<Vec<_>>().join(",")
                    }
                    other => other.to_string(),
                };
                list.push((name, value));
            }
        }
    }
    list
}

pub(crate) type Row = Vec<(&'static str, Value)>;

/// Values by section, in the order of the documentation; a repeated section has any number of
/// rows, the others have one.
fn sections(config: &Config) -> Vec<(&'static str, Vec<Row>)> {
    SECTIONS.iter().map(|(section, _)| (*section, rows(config, section))).collect()
}

pub(crate) fn rows(config: &Config, section: &str) -> Vec<Row> {
    let row = match section {
        "" => vec![("plan", word(config.plan.as_str()))],
        "upstream" => {
            let upstream = &config.upstream;
            vec![
                ("url", json!(upstream.url_redacted())),
                ("password_file", path(upstream.password_file.as_deref())),
                ("kind", word(upstream.kind.as_str())),
                ("connections", upstream.connections.map_or(word("auto"), Value::from)),
                ("headroom", json!(upstream.headroom)),
                ("census", duration_or_off(upstream.census)),
            ]
        }
        "listen" => {
            let listen = &config.listen;
            vec![
                ("session", addresses(&listen.session)),
                ("transaction", addresses(&listen.transaction)),
                ("http", addresses(&listen.http)),
                ("tls", word(listen.tls.mode.as_str())),
                ("tls_cert", path(listen.tls.cert.as_deref())),
                ("tls_key", path(listen.tls.key.as_deref())),
                ("tls_client_ca", path(listen.tls.client_ca.as_deref())),
                ("tls_client_cert", word(listen.tls.client_cert.as_str())),
                ("workers", json!(listen.workers)),
                ("control", path(listen.control.as_deref())),
                ("clients_max", json!(listen.clients_max)),
                ("memory_max", word(&listen.memory_max.map_or("auto".to_owned(), format_size))),
                ("admin_token_file", path(listen.admin_token_file.as_deref())),
            ]
        }
        "pool" => pool(&all_of(&config.pool)),
        "pool_for" => {
            return config
                .pool_for
                .iter()
                .map(|pool_for| {
                    let mut row = Row::new();
                    row.extend(pool_for.database.iter().map(|name| ("database", json!(name))));
                    row.extend(pool_for.user.iter().map(|name| ("user", json!(name))));
                    row.extend(pool(&pool_for.overrides));
                    row.extend(client_timeouts(&pool_for.timeouts));
                    row
                })
                .collect();
        }
        "timeouts" => {
            let timeouts = &config.timeouts;
            let ClientTimeouts { idle_in_transaction, transaction, query, client_idle } =
                timeouts.clients;
            let mut row = vec![
                ("client_login", duration(timeouts.client_login)),
                ("connect", duration(timeouts.connect)),
            ];
            row.extend(client_timeouts(&TimeoutOverrides {
                idle_in_transaction: Some(idle_in_transaction),
                transaction: Some(transaction),
                query: Some(query),
                client_idle: Some(client_idle),
            }));
            row.push(("cancel", duration(timeouts.cancel)));
            row.push(("drain", duration(timeouts.drain)));
            row
        }
        "retry" => {
            let retry = &config.retry;
            vec![
                ("attempts", json!(retry.attempts)),
                ("multiplier", duration(retry.multiplier)),
                ("min", duration(retry.min)),
                ("max", duration(retry.max)),
                ("jitter", json!(retry.jitter)),
                ("budget", json!(retry.budget)),
                ("read_only", json!(config.sends_reads_again)),
            ]
        }
        "prepared" => {
            let statements_max = config.prepared.statements_max;
            vec![
                ("statements_max", statements_max.map_or(word("off"), Value::from)),
                ("keep_unnamed", json!(config.prepared.keep_unnamed)),
            ]
        }
        "log" => vec![
            ("format", word(config.log.format.as_str())),
            ("level", word(config.log.level.as_str())),
        ],
        "user" => return config.users.iter().map(user).collect(),
        "auth" => vec![
            ("query", json!(config.auth.query.as_deref().unwrap_or_default())),
            ("query_cache", duration(config.auth.query_cache)),
            ("admin_users", names(&config.auth.admin_users)),
            ("stats_users", names(&config.auth.stats_users)),
        ],
        "console" => vec![("pgbouncer", word(config.console.pgbouncer.as_str()))],
        "profile" => vec![("environment", word(config.environment.as_str()))],
        _ => unreachable!("a section is declared, but not shown"),
    };
    vec![row]
}

fn all_of(pool: &PoolSettings) -> PoolOverrides {
    PoolOverrides {
        pool_size: Some(pool.pool_size),
        max_overflow: Some(pool.max_overflow),
        pool_timeout: Some(pool.pool_timeout),
        pool_recycle: Some(pool.pool_recycle),
        pool_pre_ping: Some(pool.pool_pre_ping),
        answer_probes: Some(pool.answer_probes),
        pins_max: Some(pool.pins_max),
        overflow_linger: Some(pool.overflow_linger),
        server_idle_timeout: Some(pool.server_idle_timeout),
        reset: Some(pool.reset),
    }
}

fn pool(pool: &PoolOverrides) -> Row {
    let pre_ping = |pre_ping| match pre_ping {
        PrePing::After(idle) => duration(idle),
        PrePing::Always => word("always"),
        PrePing::Off => word("off"),
    };
    let rows = [
        ("pool_size", pool.pool_size.map(Value::from)),
        ("max_overflow", pool.max_overflow.map(Value::from)),
        ("pool_timeout", pool.pool_timeout.map(duration)),
        ("pool_recycle", pool.pool_recycle.map(duration_or_off)),
        ("pool_pre_ping", pool.pool_pre_ping.map(pre_ping)),
        ("answer_probes", pool.answer_probes.map(|probes| word(probes.as_str()))),
        ("pins_max", pool.pins_max.map(|max| max.map_or_else(|| word("auto"), Value::from))),
        ("overflow_linger", pool.overflow_linger.map(duration)),
        ("server_idle_timeout", pool.server_idle_timeout.map(duration_or_off)),
        ("reset", pool.reset.map(|reset| word(reset.as_str()))),
    ];
    rows.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

fn client_timeouts(timeouts: &TimeoutOverrides) -> Row {
    let rows = [
        ("idle_in_transaction", timeouts.idle_in_transaction),
        ("transaction", timeouts.transaction),
        ("query", timeouts.query),
        ("client_idle", timeouts.client_idle),
    ];
    rows.into_iter().filter_map(|(key, value)| Some((key, duration_or_off(value?)))).collect()
}

fn user(user: &User) -> Row {
    let mut row = vec![("name", json!(user.name))];
    let secret = |secret: &Secret| json!(secret.to_string());
    row.extend(match &user.credential {
        Credential::Nothing => None,
        Credential::Password(password) => Some(("password", secret(password))),
        Credential::Verifier(verifier) => Some(("verifier", secret(verifier))),
    });
    row
}

fn word(word: &str) -> Value {
    json!(word)
}

fn duration(duration: Duration) -> Value {
    json!(format_duration(duration))
}

fn duration_or_off(period: Option<Duration>) -> Value {
    period.map_or(word("off"), duration)
}

fn path(path: Option<&Path>) -> Value {
    json!(path.map_or(String::new(), |path| path.display().to_string()))
}

fn addresses(addresses: &[ListenAddress]) -> Value {
    match addresses {
        [] => word("off"),
        [address] => json!(address.to_string()),
        _ => addresses.iter().map(ToString::to_string).collect(),
    }
}

fn names(names: &[String]) -> Value {
    match names {
        [] => word(""),
        [name] => json!(name),
        _ => json!(names),
    }
}

pub(crate) fn is_repeated(section: &str) -> bool {
    SECTIONS_REPEATED.contains(&section)
}

/// Wide enough for most settings, so that the comments stand below each other.
const COMMENT_COLUMN: usize = 40;
