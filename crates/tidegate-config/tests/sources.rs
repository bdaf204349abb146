//! Good settings: what the defaults are, which source wins, and what becomes of the values.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tidegate_config::{
    Address, Auth, ChannelBinding, ClientCert, Credential, Environment, ListenTls, Loaded,
    LogFormat, LogLevel, Negotiation, Origin, PlanChoice, Prepared, Problems, Roots, Secret,
    Sources, SslMode, TlsMode, UpstreamKind, UpstreamTls, Verification, load, search_paths,
    settings,
};
use tidegate_pool_core::settings::{PrePing, ResetPolicy};

type Pairs = Vec<(String, String)>;

fn pairs(pairs: &[(&str, &str)]) -> Pairs {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn try_load(
    file: Option<&Path>,
    env: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Loaded, Problems> {
    let (env, flags) = (pairs(env), pairs(flags));
    load(&Sources { file: file.map(PathBuf::from), search: vec![], env: &env, flags: &flags })
}

/// Loads a settings file beside which `secret` holds a password.
fn loaded(file: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Loaded {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("tidegate.toml");
    fs::write(&path, file).expect("the file can be written");
    fs::write(folder.path().join("secret"), " from file \r\n").expect("the file can be written");
    match try_load(Some(&path), env, flags) {
        Ok(loaded) => loaded,
        Err(problems) => panic!("refused: {problems}"),
    }
}

const DATABASE_URL: (&str, &str) = ("DATABASE_URL", "postgres://app:s@db:5432/shop");

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_database_url_is_enough_and_the_rest_has_the_documented_defaults() {
    let loaded = try_load(None, &[DATABASE_URL], &[]).expect("nothing is wrong");
    assert_eq!((loaded.warnings.len(), &loaded.file), (0, &None));
    let config = loaded.config;
    assert_eq!(config.plan, PlanChoice::Auto);
    assert_eq!(config.environment, Environment::Production);

    let upstream = config.upstream;
    assert_eq!(upstream.url_redacted(), "postgres://app:***@db:5432/shop?sslmode=prefer");
    assert_eq!(upstream.kind, UpstreamKind::Auto);
    assert_eq!(
        upstream.tls,
        UpstreamTls {
            mode: SslMode::Prefer,
            roots: Roots::System,
            client_certificate: None,
            negotiation: Negotiation::Postgres,
            channel_binding: ChannelBinding::Prefer,
            sni: true,
        }
    );
    assert_eq!((upstream.connections, upstream.headroom), (None, 2));
    assert_eq!(upstream.census, Some(seconds(5)));

    let listen = config.listen;
    let shown = |addresses: &[tidegate_config::ListenAddress]| {
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(shown(&listen.session), ["127.0.0.1:6543"]);
    assert_eq!(shown(&listen.transaction), ["127.0.0.1:6544"]);
    assert_eq!(shown(&listen.http), ["127.0.0.1:6545"]);
    assert_eq!((listen.workers.get(), listen.clients_max), (1, 10_000));
    assert_eq!(listen.control, None);
    assert_eq!(
        listen.tls,
        ListenTls {
            mode: TlsMode::Off,
            cert: None,
            key: None,
            client_ca: None,
            client_cert: ClientCert::Optional,
        }
    );

    let pool = config.pool;
    assert_eq!((pool.pool_size, pool.max_overflow), (10, 20));
    assert_eq!(pool.pool_timeout, seconds(30));
    assert_eq!(pool.pool_recycle, Some(seconds(30 * 60)));
    assert_eq!(pool.pool_pre_ping, PrePing::After(seconds(30)));
    assert_eq!(pool.overflow_linger, seconds(10));
    assert_eq!(pool.server_idle_timeout, Some(seconds(10 * 60)));
    assert_eq!(pool.reset, ResetPolicy::Auto);
    assert_eq!(config.pool_for, []);

    let timeouts = config.timeouts;
    assert_eq!(timeouts.client_login, seconds(15));
    assert_eq!(timeouts.connect, seconds(5));
    assert_eq!(timeouts.cancel, seconds(5));
    assert_eq!(timeouts.drain, seconds(30));
    let clients = timeouts.clients;
    assert_eq!(clients.idle_in_transaction, Some(seconds(60)));
    assert_eq!((clients.transaction, clients.query, clients.client_idle), (None, None, None));

    let retry = config.retry;
    assert_eq!((retry.attempts, retry.jitter, retry.budget), (3, true, 0.1));
    assert_eq!((retry.multiplier, retry.min, retry.max), (seconds(1), seconds(2), seconds(10)));
    assert_eq!((config.log.format, config.log.level), (LogFormat::Text, LogLevel::Info));

    assert_eq!(config.prepared, Prepared { statements_max: Some(200), keep_unnamed: true });
    let nobody = Vec::new;
    assert_eq!(
        config.auth,
        Auth {
            query: None,
            query_cache: seconds(60),
            admin_users: nobody(),
            stats_users: nobody()
        }
    );

    let [user] = &config.users[..] else { panic!("one user: {:?}", config.users) };
    assert_eq!(user.name, "app");
    assert_eq!(user.credential, Credential::Password(Secret::new("s")));
}

#[test]
fn every_default_of_the_table_is_accepted_when_it_is_written_out() {
    for setting in settings() {
        let Some(env) = &setting.env else { continue };
        let text = setting.default.trim_matches('"');
        let written = try_load(None, &[DATABASE_URL, (env, text)], &[]).expect(setting.name);
        let default = try_load(None, &[DATABASE_URL], &[]).expect("nothing is wrong");
        assert_eq!(written.config, default.config, "{}", setting.name);
    }
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_the_default() {
    let file = "[pool]\npool_size = 3\n";
    let env = ("TIDEGATE_POOL_POOL_SIZE", "4");
    let flags = [("pool.pool_size", "5"), ("pool.pool_size", "6")];
    let size = |loaded: &Loaded| {
        let origin = match loaded.origins.get("pool.pool_size") {
            Origin::File { line, .. } => format!("line {line}"),
            other => other.to_string(),
        };
        (loaded.config.pool.pool_size, origin)
    };
    let expected = |size: u32, origin: &str| (size, origin.to_owned());
    assert_eq!(size(&loaded("", &[DATABASE_URL], &[])), expected(10, "default"));
    assert_eq!(size(&loaded(file, &[DATABASE_URL], &[])), expected(3, "line 2"));
    let with_env = loaded(file, &[DATABASE_URL, env], &[]);
    assert_eq!(size(&with_env), expected(4, "env TIDEGATE_POOL_POOL_SIZE"));
    assert_eq!(size(&loaded(file, &[DATABASE_URL, env], &flags)), expected(6, "flag"));
}

#[test]
fn anything_wins_over_database_url() {
    let host = |loaded: Loaded| loaded.config.upstream.hosts[0].address.to_string();
    let file = "[upstream]\nurl = \"postgres://app@file\"\n";
    let env = ("TIDEGATE_UPSTREAM_URL", "postgres://app@env");
    let flag = ("upstream.url", "postgres://app@flag");
    let database_url = loaded("", &[DATABASE_URL], &[]);
    assert_eq!(database_url.origins.get("upstream.url"), &Origin::Env("DATABASE_URL".to_owned()));
    assert_eq!(host(database_url), "db:5432");
    assert_eq!(host(loaded(file, &[DATABASE_URL], &[])), "file:5432");
    assert_eq!(host(loaded(file, &[DATABASE_URL, env], &[])), "env:5432");
    assert_eq!(host(loaded(file, &[DATABASE_URL, env], &[flag])), "flag:5432");
}

#[test]
fn an_empty_string_is_not_set_and_zero_is_zero() {
    let file = "plan = \"pro\"\n[upstream]\nurl = \"\"\npassword_file = \"\"\n[timeouts]\n\
                drain = \"\"\n[pool]\noverflow_linger = 0\n";
    let loaded = loaded(file, &[DATABASE_URL, ("TIDEGATE_PLAN", "")], &[("log.level", " ")]);
    assert_eq!(loaded.config.plan, PlanChoice::Pro);
    assert_eq!(loaded.config.timeouts.drain, seconds(30));
    assert_eq!(loaded.config.pool.overflow_linger, Duration::ZERO);
    assert_eq!(loaded.origins.get("log.level"), &Origin::Default);
}

#[test]
fn off_is_off() {
    let file = "[upstream]\ncensus = \"off\"\n[listen]\nsession = \"off\"\nhttp = \"off\"\n[pool]\n\
                pool_recycle = \"off\"\npool_pre_ping = \"off\"\nserver_idle_timeout = \"off\"\n\
                reset = \"off\"\n[timeouts]\nidle_in_transaction = \"off\"\n\
                [prepared]\nstatements_max = \"off\"\n";
    let config = loaded(file, &[DATABASE_URL], &[]).config;
    assert_eq!((config.upstream.census, config.timeouts.clients.idle_in_transaction), (None, None));
    assert_eq!((config.pool.pool_recycle, config.pool.server_idle_timeout), (None, None));
    assert_eq!((config.pool.pool_pre_ping, config.pool.reset), (PrePing::Off, ResetPolicy::Off));
    assert_eq!((config.listen.session.len(), config.listen.http.len()), (0, 0));
    assert_eq!(config.prepared.statements_max, None);
}

#[test]
fn numbers_may_be_written_in_every_way_that_toml_knows() {
    let file = "[listen]\nclients_max = 20_000\nworkers = 0x2\n[upstream]\nheadroom = \"${N}\"\n\
                [retry]\nbudget = 1\njitter = false\n";
    let config = loaded(file, &[DATABASE_URL, ("N", "7")], &[]).config;
    assert_eq!((config.listen.clients_max, config.listen.workers.get()), (20_000, 2));
    assert_eq!(config.upstream.headroom, 7);
    assert_eq!((config.retry.budget, config.retry.jitter), (1.0, false));
}

#[test]
fn variables_are_expanded_in_the_file_only() {
    let file = "[upstream]\nurl = \"postgres://app:${PASSWORD}@db/$${x}\"\n";
    let env = [("PASSWORD", "a${b}"), ("TIDEGATE_LISTEN_CONTROL", "/run/${PASSWORD}")];
    let config = loaded(file, &env, &[]).config;
    assert_eq!(config.upstream.password, Some(Secret::new("a${b}")));
    assert_eq!(config.upstream.database, "${x}");
    assert_eq!(config.listen.control, Some(PathBuf::from("/run/${PASSWORD}")));
}

#[test]
fn lists_of_addresses_come_from_the_file_and_from_the_environment() {
    let file = "[listen]\nsession = [\"127.0.0.1:1\", \"[::1]:1\"]\n";
    let env = ("TIDEGATE_LISTEN_TRANSACTION", "127.0.0.1:2, unix:/run/tidegate/.s.PGSQL.2");
    let listen = loaded(file, &[DATABASE_URL, env], &[]).config.listen;
    assert_eq!((listen.session.len(), listen.transaction.len()), (2, 2));
    assert_eq!(listen.transaction[1].to_string(), "unix:/run/tidegate/.s.PGSQL.2");
}

#[test]
fn a_password_file_is_found_beside_the_settings_file_and_loses_only_its_line_end() {
    let file = "[upstream]\nurl = \"postgres://app@db\"\npassword_file = \"secret\"\n";
    let config = loaded(file, &[], &[]).config;
    assert_eq!(config.upstream.password, Some(Secret::new(" from file ")));
    assert_eq!(config.users[0].credential, Credential::Password(Secret::new(" from file ")));
}

#[test]
fn what_is_verified_follows_mode_and_roots() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let root = folder.path().join("root.pem");
    fs::write(&root, "PEM").expect("the file can be written");
    let root = root.display();
    for (query, verification) in [
        (String::new(), Verification::None),
        ("sslmode=disable".to_owned(), Verification::None),
        ("sslmode=allow".to_owned(), Verification::None),
        ("sslmode=require".to_owned(), Verification::None),
        ("ssl=true".to_owned(), Verification::None),
        ("sslmode=verify-ca".to_owned(), Verification::Chain),
        ("sslmode=verify-full".to_owned(), Verification::ChainAndName),
        ("sslrootcert=system".to_owned(), Verification::ChainAndName),
        (format!("sslrootcert={root}"), Verification::None),
        (format!("sslmode=require&sslrootcert={root}"), Verification::Chain),
        (format!("sslmode=verify-ca&sslrootcert={root}"), Verification::Chain),
        (format!("sslmode=verify-full&sslrootcert={root}"), Verification::ChainAndName),
    ] {
        let url = format!("postgres://app@db/shop?{query}");
        let loaded = try_load(None, &[("DATABASE_URL", &url)], &[]).expect(&query);
        assert_eq!(loaded.config.upstream.tls.verification(), verification, "{query}");
    }
}

#[test]
fn a_server_is_known_by_its_host_wherever_that_is() {
    let url = ("DATABASE_URL", "host=h1,h2,/tmp hostaddr=10.0.0.1,, user=app");
    let config = try_load(None, &[url], &[]).expect("nothing is wrong").config;
    let hosts = config.upstream.hosts;
    let known: Vec<_> =
        hosts.iter().map(|host| (host.address.to_string(), host.server_name())).collect();
    let known: Vec<_> = known.iter().map(|(address, name)| (address.as_str(), *name)).collect();
    assert_eq!(
        known,
        [("10.0.0.1:5432", Some("h1")), ("h2:5432", Some("h2")), ("unix:/tmp/.s.PGSQL.5432", None),]
    );
    assert!(matches!(hosts[2].address, Address::Unix { .. }));
}

#[test]
fn files_of_tls_are_found_beside_the_settings_file() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for name in ["root.pem", "app.pem", "app.key"] {
        fs::write(folder.path().join(name), "PEM").expect("the file can be written");
    }
    let path = folder.path().join("tidegate.toml");
    let file = "[upstream]\nurl = \"postgres://app:s@db?sslmode=verify-full&sslrootcert=root.pem&\
                sslcert=app.pem&sslkey=app.key\"\n[listen]\ntls = \"require\"\n\
                tls_cert = \"app.pem\"\ntls_key = \"app.key\"\ntls_client_ca = \"root.pem\"\n\
                tls_client_cert = \"require\"\n";
    fs::write(&path, file).expect("the file can be written");
    let config = try_load(Some(&path), &[], &[]).expect("nothing is wrong").config;
    let here = |name: &str| folder.path().join(name);
    let tls = config.upstream.tls;
    assert_eq!(tls.roots, Roots::File(here("root.pem")));
    assert_eq!(tls.client_certificate, Some((here("app.pem"), here("app.key"))));
    let tls = config.listen.tls;
    assert_eq!(tls.certificate(), Some((&*here("app.pem"), &*here("app.key"))));
    assert_eq!(tls.client_ca, Some(here("root.pem")));
    assert_eq!((tls.mode, tls.client_cert), (TlsMode::Require, ClientCert::Require));

    // Where the URL stands elsewhere, the working directory counts.
    let url = ("DATABASE_URL", "postgres://app:s@db?sslmode=require&sslrootcert=Cargo.toml");
    let config = try_load(None, &[url], &[]).expect("nothing is wrong").config;
    assert_eq!(config.upstream.tls.roots, Roots::File(PathBuf::from("Cargo.toml")));
}

#[test]
fn with_a_query_the_users_of_the_settings_stay_who_they_are() {
    let query = "[auth]\nquery = \"SELECT * FROM gate.lookup($1)\"\nquery_cache = 0\n";
    let names = |file: &str| {
        let config = loaded(file, &[DATABASE_URL], &[]).config;
        assert_eq!(config.auth.query.as_deref(), Some("SELECT * FROM gate.lookup($1)"));
        assert_eq!(config.auth.query_cache, Duration::ZERO);
        config.users.into_iter().map(|user| (user.name, user.credential)).collect::<Vec<_>>()
    };
    let password = |text: &str| Credential::Password(Secret::new(text));
    assert_eq!(names(query), [("app".to_owned(), password("s"))]);
    let with_user = format!("[[user]]\nname = \"cron\"\npassword = \"p\"\n{query}");
    assert_eq!(names(&with_user), [("cron".to_owned(), password("p"))]);
}

#[test]
fn users_have_what_they_are_given_or_the_password_of_the_upstream() {
    let key = "A".repeat(43) + "=";
    let verifier = format!("SCRAM-SHA-256$4096:c2FsdHNhbHQ=${key}:{key}");
    let file = format!(
        "[[user]]\nname = \"cron\"\n[[user]]\nname = \"app\"\n[[user]]\nname = \"a\"\n\
         password = \" p \"\n[[user]]\nname = \"b\"\npassword_file = \"secret\"\n[[user]]\n\
         name = \"c\"\nverifier = \"{verifier}\"\n"
    );
    let loaded = loaded(&file, &[DATABASE_URL], &[]);
    let users: Vec<_> =
        loaded.config.users.into_iter().map(|user| (user.name, user.credential)).collect();
    let password = |text: &str| Credential::Password(Secret::new(text));
    assert_eq!(
        users,
        [
            ("cron".to_owned(), Credential::Nothing),
            ("app".to_owned(), password("s")),
            ("a".to_owned(), password(" p ")),
            ("b".to_owned(), password(" from file ")),
            ("c".to_owned(), Credential::Verifier(Secret::new(verifier))),
        ]
    );
    let origin = loaded.origins.get("user[3].password");
    assert!(matches!(origin, Origin::File { line: 7, .. }), "{origin:?}");
}

#[test]
fn sizes_follow_plan_and_environment() {
    for (plan, environment, sizes, limit) in [
        ("auto", "production", (10, 20), None),
        ("free", "production", (5, 10), Some(15)),
        ("free", "staging", (5, 10), Some(15)),
        ("free", "development", (3, 5), Some(15)),
        ("pro", "development", (10, 20), Some(200)),
        ("enterprise", "production", (20, 50), None),
        ("custom", "production", (10, 20), None),
        ("supabase-nano", "production", (10, 20), Some(60)),
        ("supabase-micro", "production", (10, 20), Some(60)),
        ("supabase-small", "production", (10, 20), Some(90)),
        ("supabase-medium", "production", (10, 20), Some(120)),
        ("supabase-large", "production", (10, 20), Some(160)),
        ("supabase-xl", "production", (10, 20), Some(240)),
        ("supabase-2xl", "production", (10, 20), Some(380)),
        ("supabase-4xl", "production", (10, 20), Some(480)),
        ("supabase-8xl", "production", (10, 20), Some(490)),
        ("supabase-12xl", "production", (10, 20), Some(500)),
        ("supabase-16xl", "production", (10, 20), Some(500)),
    ] {
        let flags = [("plan", plan), ("profile.environment", environment)];
        let config = try_load(None, &[DATABASE_URL], &flags).expect(plan).config;
        let pool = &config.pool;
        assert_eq!((pool.pool_size, pool.max_overflow), sizes, "{plan} {environment}");
        assert_eq!((config.plan.as_str(), config.plan.limit()), (plan, limit));
    }
}

#[test]
fn of_the_pool_fors_that_match_the_last_to_set_a_key_wins() {
    let file = "plan = \"free\"\n[pool]\npool_timeout = \"1s\"\n\
                [[pool_for]]\ndatabase = \"shop\"\npool_size = 1\nreset = \"always\"\n\
                [[pool_for]]\nuser = \"cron\"\npool_size = 2\npool_recycle = \"off\"\n\
                [[pool_for]]\ndatabase = \"shop\"\nuser = \"web\"\nmax_overflow = \"auto\"\n";
    let config = loaded(file, &[DATABASE_URL], &[]).config;
    let settings = |database, user| {
        let pool = config.pool_settings(database, user);
        assert_eq!(pool.pool_timeout, seconds(1));
        (pool.pool_size, pool.max_overflow, pool.reset, pool.pool_recycle.is_some())
    };
    assert_eq!(settings("other", "web"), (5, 10, ResetPolicy::Auto, true));
    assert_eq!(settings("shop", "web"), (1, 10, ResetPolicy::Always, true));
    assert_eq!(settings("other", "cron"), (2, 10, ResetPolicy::Auto, false));
    assert_eq!(settings("shop", "cron"), (2, 10, ResetPolicy::Always, false));
}

#[test]
fn a_pool_for_says_how_long_clients_may_take_too() {
    let file = "plan = \"free\"\n[timeouts]\nquery = \"10s\"\nclient_idle = \"1h\"\n\
                [[pool_for]]\ndatabase = \"shop\"\nquery = \"off\"\ntransaction = \"2m\"\n\
                [[pool_for]]\nuser = \"cron\"\ntransaction = \"5m\"\nidle_in_transaction = \"off\"\n";
    let config = loaded(file, &[DATABASE_URL], &[]).config;
    let timeouts = |database, user| {
        let of = config.client_timeouts(database, user);
        assert_eq!(of.client_idle, Some(seconds(3600)));
        (of.query, of.transaction, of.idle_in_transaction)
    };
    let (ten, minute) = (Some(seconds(10)), Some(seconds(60)));
    assert_eq!(timeouts("other", "web"), (ten, None, minute));
    assert_eq!(timeouts("shop", "web"), (None, Some(seconds(120)), minute));
    assert_eq!(timeouts("other", "cron"), (ten, Some(seconds(300)), None));
    assert_eq!(timeouts("shop", "cron"), (None, Some(seconds(300)), None));
}

#[test]
fn the_file_is_the_one_asked_for_else_the_variable_else_the_first_found() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = |name: &str, plan: &str| {
        let path = folder.path().join(name);
        fs::write(&path, format!("plan = \"{plan}\"\n")).expect("the file can be written");
        path
    };
    let (asked, named) = (file("a.toml", "free"), file("b.toml", "pro"));
    let found = file("c.toml", "custom");
    let search = vec![folder.path().join("absent/x.toml"), found.clone(), named.clone()];
    let named = named.display().to_string();
    let plain = pairs(&[DATABASE_URL]);
    let with_variable = pairs(&[DATABASE_URL, ("TIDEGATE_CONFIG", &named)]);
    let plan = |file: Option<&PathBuf>, env: &Pairs| {
        let sources = Sources { file: file.cloned(), search: search.clone(), env, flags: &[] };
        load(&sources).expect("nothing is wrong").config.plan
    };
    assert_eq!(plan(Some(&asked), &with_variable), PlanChoice::Free);
    assert_eq!(plan(None, &with_variable), PlanChoice::Pro);
    assert_eq!(plan(None, &plain), PlanChoice::Custom);
}

#[test]
fn files_are_searched_here_then_for_the_person_then_for_the_machine() {
    let paths = |env: &[(&str, &str)]| -> Vec<String> {
        search_paths(&pairs(env)).iter().map(|path| path.display().to_string()).collect()
    };
    let (here, machine) = ("tidegate.toml", "/etc/tidegate/tidegate.toml");
    assert_eq!(paths(&[]), [here, machine]);
    assert_eq!(
        paths(&[("HOME", "/home/a")]),
        [here, "/home/a/.config/tidegate/tidegate.toml", machine]
    );
    assert_eq!(
        paths(&[("HOME", "/home/a"), ("XDG_CONFIG_HOME", "/x")]),
        [here, "/x/tidegate/tidegate.toml", machine]
    );
}
