//! Changes: what a reload finds different, what of it applies at once, and what is in force then.
//!
//! The table says of each setting whether a change of it waits for a restart. Some drag others along: with
//! another `upstream.url` its password and the users wait as well, since they may be meant for the
//! other database; with another `listen.tls` its files do; and users without a password wait until the
//! ports have gone that other machines reach.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::config::{Config, Credential, Listen, ListenTls, Log, Upstream, UpstreamKind, User};
use crate::show::{is_repeated, rows};
use crate::table::{Reload, SECTIONS, settings};

/// A setting that is different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its name; with the number of the entry where the section is repeated (`pool_for[2].pool_size`),
    /// or with that of the user (`user[app]`).
    pub setting: String,
    /// What is in force; `-` for nothing. Never a secret.
    pub old: String,
    /// What stands there now.
    pub new: String,
    /// When it applies.
    pub reload: Reload,
}

/// What is different in `new`, in the order of the documentation.
pub fn changes(old: &Config, new: &Config) -> Vec<Change> {
    let mut changes = Vec::new();
    for (section, _) in SECTIONS {
        match section {
            "user" => users(old, new, &mut changes),
            section if is_repeated(section) => repeated(section, old, new, &mut changes),
            section => single(section, old, new, &mut changes),
        }
    }
    changes
}

/// The settings that are in force once `new` was loaded by a gate that runs with `old`.
pub fn in_force(old: &Config, new: &Config) -> Config {
    let mut config = new.clone();
    if is_elsewhere(old, new) {
        let Upstream { connections, headroom, .. } = new.upstream;
        config.upstream = Upstream { connections, headroom, ..old.upstream.clone() };
    }
    if users_wait(old, new) {
        config.users.clone_from(&old.users);
    }
    config.upstream.kind = old.upstream.kind;
    config.upstream.census = old.upstream.census;
    let mode = old.listen.tls.mode;
    config.listen = Listen {
        tls: match mode == new.listen.tls.mode {
            true => ListenTls { mode, ..new.listen.tls.clone() },
            false => old.listen.tls.clone(),
        },
        memory_max: new.listen.memory_max,
        admin_token_file: new.listen.admin_token_file.clone(),
        admin_token: new.listen.admin_token.clone(),
        ..old.listen.clone()
    };
    config.prepared = old.prepared;
    config.log = Log { format: old.log.format, level: new.log.level };
    config.auth.query.clone_from(&old.auth.query);
    config
}

/// Whether the URL names another database, or another way to it, passwords aside.
fn is_elsewhere(old: &Config, new: &Config) -> bool {
    // All that the URL says, by leaving out what it does not.
    let place = |config: &Config| Upstream {
        password: None,
        password_file: None,
        kind: UpstreamKind::Auto,
        connections: None,
        headroom: 0,
        census: None,
        ..config.upstream.clone()
    };
    place(old) != place(new)
}

/// Whether the users that are new are not those for the gate as it runs.
fn users_wait(old: &Config, new: &Config) -> bool {
    let is_open = old.listen.session.iter().chain(&old.listen.transaction).any(|a| !a.is_local());
    let is_free = new.users.iter().any(|user| user.credential == Credential::Nothing);
    is_elsewhere(old, new) || is_open && is_free
}

fn declared(name: &str) -> Reload {
    let found = settings().iter().find(|setting| setting.name == name);
    found.map_or(Reload::Restart, |setting| setting.reload)
}

fn single(section: &str, old: &Config, new: &Config, changes: &mut Vec<Change>) {
    let (olds, news) = (row(old, section), row(new, section));
    for ((key, was), (_, is)) in olds.iter().zip(&news) {
        let setting =
            if section.is_empty() { (*key).to_owned() } else { format!("{section}.{key}") };
        let waits = match setting.as_str() {
            "upstream.password_file" => is_elsewhere(old, new),
            "listen.tls_cert"
            | "listen.tls_key"
            | "listen.tls_client_ca"
            | "listen.tls_client_cert" => old.listen.tls.mode != new.listen.tls.mode,
            _ => false,
        };
        let reload = if waits { Reload::Restart } else { declared(&setting) };
        let is_other = match setting.as_str() {
            "upstream.url" => is_elsewhere(old, new),
            _ => was != is,
        };
        if is_other {
            changes.push(Change { setting, old: text(was), new: text(is), reload });
        } else if let Some((was, is)) = other_secret(&setting, old, new) {
            changes.push(Change { setting, old: was, new: is, reload: Reload::Live });
        }
    }
}

/// A secret that has changed behind a setting that has not.
fn other_secret(setting: &str, old: &Config, new: &Config) -> Option<(String, String)> {
    let (was, is) = match setting {
        // Where it stands in a file, that is the setting to name.
        "upstream.password_file" if new.upstream.password_file.is_some() => {
            (&old.upstream.password, &new.upstream.password)
        }
        "upstream.url" if new.upstream.password_file.is_none() => {
            (&old.upstream.password, &new.upstream.password)
        }
        "listen.admin_token_file" => (&old.listen.admin_token, &new.listen.admin_token),
        _ => return None,
    };
    let is_same_place =
        old.upstream.password_file == new.upstream.password_file || setting != "upstream.url";
    (was != is && is_same_place).then(|| ("***".to_owned(), "another secret".to_owned()))
}

fn repeated(section: &str, old: &Config, new: &Config, changes: &mut Vec<Change>) {
    let (olds, news) = (rows(old, section), rows(new, section));
    for place in 0..olds.len().max(news.len()) {
        let value = |rows: &[Vec<(&'static str, Value)>], key: &str| {
            let found = rows.get(place)?.iter().find(|(name, _)| *name == key);
            found.map(|(_, value)| text(value))
        };
        let known = olds.get(place).into_iter().chain(news.get(place)).flatten();
        let mut named = BTreeSet::new();
        for (key, _) in known.filter(|(key, _)| named.insert(*key)) {
            let (was, is) = (value(&olds, key), value(&news, key));
            if was != is {
                let nothing = || "-".to_owned();
                changes.push(Change {
                    setting: format!("{section}[{}].{key}", place + 1),
                    old: was.unwrap_or_else(nothing),
                    new: is.unwrap_or_else(nothing),
                    reload: Reload::Live,
                });
            }
        }
    }
}

fn users(old: &Config, new: &Config, changes: &mut Vec<Change>) {
    let reload = if users_wait(old, new) { Reload::Restart } else { declared("user.name") };
    let named = |users: &[User], name: &str| users.iter().find(|user| user.name == name).cloned();
    let mut names = BTreeSet::new();
    for user in old.users.iter().chain(&new.users).filter(|user| names.insert(&user.name)) {
        let (was, is) = (named(&old.users, &user.name), named(&new.users, &user.name));
        if was == is {
            continue;
        }
        let said = |user: &Option<User>| match user.as_ref().map(|user| &user.credential) {
            None => "-",
            Some(Credential::Nothing) => "no password",
            Some(Credential::Password(_)) => "a password",
            Some(Credential::Verifier(_)) => "a verifier",
        };
        let (old, mut new) = (said(&was).to_owned(), said(&is).to_owned());
        if old == new {
            new = new.replacen('a', "another", 1);
        }
        changes.push(Change { setting: format!("user[{}]", user.name), old, new, reload });
    }
}

fn row(config: &Config, section: &str) -> Vec<(&'static str, Value)> {
    rows(config, section).into_iter().next().unwrap_or_default()
}

/// As it stands in the file, but for the quotes.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ListenAddress;
    use crate::load::{Sources, load};
    use crate::secret::Secret;

    const URL: &str = "postgres://app:secret@db.example.com/app";

    fn config(flags: &[(&str, &str)]) -> Config {
        let url = [("upstream.url", URL)];
        let flags = url.iter().chain(flags);
        let flags: Vec<_> = flags.map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let loaded = load(&Sources { flags: &flags, ..Sources::default() });
        loaded.unwrap_or_else(|problems| panic!("{problems}")).config
    }

    fn of_file(text: &str) -> Config {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("tidegate.toml");
        std::fs::write(&file, format!("[upstream]\nurl = \"{URL}\"\n{text}")).expect("a file");
        let loaded = load(&Sources { file: Some(file), ..Sources::default() });
        loaded.unwrap_or_else(|problems| panic!("{problems}")).config
    }

    /// A value for each setting that stands alone, other than its default.
    const OTHERS: &[(&str, &str)] = &[
        ("plan", "pro"),
        ("upstream.url", "postgres://app:secret@elsewhere.example.com/app"),
        ("upstream.kind", "direct"),
        ("upstream.connections", "7"),
        ("upstream.headroom", "3"),
        ("upstream.census", "7s"),
        ("listen.session", "127.0.0.1:7000"),
        ("listen.transaction", "127.0.0.1:7001"),
        ("listen.http", "127.0.0.1:7002"),
        ("listen.workers", "2"),
        ("listen.control", "/run/tidegate.sock"),
        ("listen.clients_max", "77"),
        ("listen.memory_max", "77MB"),
        ("pool.pool_size", "7"),
        ("pool.max_overflow", "7"),
        ("pool.pool_timeout", "7s"),
        ("pool.pool_recycle", "7m"),
        ("pool.pool_pre_ping", "7s"),
        ("pool.answer_probes", "all"),
        ("pool.pins_max", "7"),
        ("pool.overflow_linger", "7s"),
        ("pool.server_idle_timeout", "7m"),
        ("pool.reset", "always"),
        ("timeouts.client_login", "7s"),
        ("timeouts.connect", "7s"),
        ("timeouts.idle_in_transaction", "7s"),
        ("timeouts.transaction", "7s"),
        ("timeouts.query", "7s"),
        ("timeouts.client_idle", "7s"),
        ("timeouts.cancel", "7s"),
        ("timeouts.drain", "7s"),
        ("retry.attempts", "7"),
        ("retry.multiplier", "7s"),
        ("retry.min", "1s"),
        ("retry.max", "70s"),
        ("retry.jitter", "false"),
        ("retry.budget", "0.7"),
        ("retry.read_only", "true"),
        ("prepared.statements_max", "7"),
        ("prepared.keep_unnamed", "false"),
        ("log.format", "json"),
        ("log.level", "debug"),
        ("auth.query", "SELECT name, verifier FROM users WHERE name = $1"),
        ("auth.query_cache", "7s"),
        ("auth.admin_users", "ops, dba"),
        ("auth.stats_users", "exporter"),
        ("console.pgbouncer", "1.25"),
        ("profile.environment", "staging"),
    ];

    #[test]
    fn each_setting_applies_when_the_table_says() {
        let old = config(&[]);
        for (name, value) in OTHERS {
            let new = config(&[(name, value)]);
            let found = changes(&old, &new);
            // A plan brings sizes of pools with it.
            let one = found.iter().find(|change| change.setting == *name);
            let one = one.unwrap_or_else(|| panic!("{name}: {found:?}"));
            assert_eq!(one.reload, declared(name), "{name}");
            let expected = if one.reload == Reload::Live { &new } else { &old };
            assert_eq!(in_force(&old, &new), *expected, "{name}");
            assert!(changes(expected, expected).is_empty());
        }
    }

    #[test]
    fn every_setting_is_among_those_that_are_tried_here() {
        // Files have tests of their own, and so have sections that are repeated.
        let elsewhere = ["password_file", "tls", "admin_token_file"];
        for setting in settings().iter().filter(|setting| setting.env.is_some()) {
            let is_tried = OTHERS.iter().any(|(name, _)| *name == setting.name);
            let is_elsewhere = elsewhere.iter().any(|key| setting.key().starts_with(key));
            assert!(is_tried || is_elsewhere, "{}", setting.name);
        }
    }

    #[test]
    fn a_new_password_applies_at_once_unless_the_url_names_another_place() {
        let old = config(&[]);
        let new = config(&[("upstream.url", "postgres://app:other@db.example.com/app")]);
        assert_eq!(in_force(&old, &new), new);
        let names = |found: &[Change]| {
            let named = found.iter().map(|change| (change.setting.clone(), change.reload));
            named.collect::<Vec<_>>()
        };
        let url = |reload| ("upstream.url".to_owned(), reload);
        let user = |reload| ("user[app]".to_owned(), reload);
        let found = changes(&old, &new);
        assert_eq!(names(&found), [url(Reload::Live), user(Reload::Live)]);
        assert_eq!(found[1].new, "another password");
        let said = format!("{found:?}");
        assert!(!said.contains("secret@") && !said.contains("other@"), "{said}");
        let moved = config(&[("upstream.url", "postgres://app:other@elsewhere/app")]);
        assert_eq!(in_force(&old, &moved), old);
        assert_eq!(names(&changes(&old, &moved)), [url(Reload::Restart), user(Reload::Restart)]);
    }

    #[test]
    fn nobody_is_let_in_without_a_password_where_other_machines_still_reach_the_port() {
        let named = |credential| {
            let mut config = config(&[]);
            config.users = vec![User { name: "x".to_owned(), credential }];
            config
        };
        let mut open = named(Credential::Password(Secret::new("1")));
        open.listen.session = vec![ListenAddress::Tcp(([0, 0, 0, 0], 6543).into())];
        let closed = named(Credential::Nothing);
        assert_eq!(in_force(&open, &closed).users, open.users);
        let told = changes(&open, &closed);
        assert!(told.len() == 2 && told.iter().all(|change| change.reload == Reload::Restart));
        let local = named(Credential::Password(Secret::new("1")));
        assert_eq!(in_force(&local, &closed).users, closed.users);
    }

    #[test]
    fn entries_of_repeated_sections_are_told_one_by_one() {
        let old = of_file(
            "[[pool_for]]\ndatabase = \"a\"\npool_size = 3\n[[user]]\nname = \"x\"\npassword = \"1\"\n",
        );
        let new = of_file(
            "[[pool_for]]\ndatabase = \"a\"\npool_size = 4\nquery = \"7s\"\n\
             [[user]]\nname = \"y\"\npassword = \"1\"\n",
        );
        let told =
            |change: &Change| format!("{}: {} -> {}", change.setting, change.old, change.new);
        let told: Vec<_> = changes(&old, &new).iter().map(told).collect();
        assert_eq!(
            told,
            [
                "pool_for[1].pool_size: 3 -> 4",
                "pool_for[1].query: - -> 7s",
                "user[x]: a password -> -",
                "user[y]: - -> a password",
            ]
        );
        assert_eq!(in_force(&old, &new), new);
    }
}
