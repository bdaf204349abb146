//! Bad settings, and the whole text of what is said about them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tidegate_config::{Loaded, Problem, Problems, Sources, load};

/// Loads `file` as `tidegate.toml`, with `env` as lines of `NAME=value`.
fn load_file(file: &str, env: &[&str], flags: &[&str]) -> Result<Loaded, Problems> {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("tidegate.toml");
    fs::write(&path, file).expect("the file can be written");
    fs::write(folder.path().join("secret"), "hunter2\r\n").expect("the file can be written");
    fs::write(folder.path().join("empty"), "\n").expect("the file can be written");
    fs::write(folder.path().join("nothing"), "").expect("the file can be written");
    for (name, mode) in [("pem", 0o644), ("key", 0o600), ("open.key", 0o644)] {
        let path = folder.path().join(name);
        fs::write(&path, "PEM").expect("the file can be written");
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(&path, mode).expect("its mode can be set");
    }
    let pairs = |lines: &[&str]| -> Vec<(String, String)> {
        let pair = |line: &&str| line.split_once('=').map(|(a, b)| (a.to_owned(), b.to_owned()));
        lines.iter().filter_map(pair).collect()
    };
    let (env, flags) = (pairs(env), pairs(flags));
    let sources = Sources { file: Some(path.clone()), search: vec![], env: &env, flags: &flags };
    // The folder has another name in each run; as if it were the current one.
    let prefix = format!("{}/", folder.path().display());
    let here = |problem: Problem| Problem {
        message: problem.message.replace(&prefix, ""),
        remedy: problem.remedy.map(|remedy| remedy.replace(&prefix, "")),
        place: match problem.place {
            tidegate_config::Place::File { line, column, .. } => {
                tidegate_config::Place::File { path: PathBuf::from("tidegate.toml"), line, column }
            }
            other => other,
        },
    };
    match load(&sources) {
        Ok(mut loaded) => {
            loaded.warnings = loaded.warnings.into_iter().map(here).collect();
            Ok(loaded)
        }
        Err(Problems(problems)) => Err(Problems(problems.into_iter().map(here).collect())),
    }
}

const DATABASE_URL: &str = "DATABASE_URL=postgres://app:hunter2@db/app";

#[track_caller]
fn refused(file: &str, expected: &str) {
    match load_file(file, &[DATABASE_URL], &[]) {
        Ok(_) => panic!("this was accepted:\n{file}"),
        Err(problems) => {
            let text = problems.to_string();
            assert_eq!(text, expected.trim(), "\n--- for\n{file}\n--- got\n{text}\n---");
            assert!(!text.contains("hunter2"), "a secret was told: {text}");
        }
    }
}

#[track_caller]
fn warned(file: &str, expected: &str) {
    let loaded = load_file(file, &[DATABASE_URL], &[]).expect("the file is accepted");
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.join("\n\n"), expected.trim());
}

#[test]
fn unknown_keys_are_told_with_the_nearest_name() {
    refused(
        "[pool]\npool_sze = 5\n",
        "tidegate.toml:2:1: pool.pool_sze is not a setting; did you mean pool.pool_size?",
    );
    refused(
        "[listen]\n\n  pool_size = 5\n",
        "tidegate.toml:3:3: listen.pool_size is not a setting; pool_size belongs in [pool]",
    );
    refused(
        "pool_size = 5\n",
        "tidegate.toml:1:1: pool_size is not a setting; pool_size belongs in [pool]",
    );
    refused(
        "[pool]\nplan = \"pro\"\n",
        "tidegate.toml:2:1: pool.plan is not a setting; plan belongs at the top, before the first \
         section",
    );
    refused(
        "[pool]\natempts = 5\n",
        "tidegate.toml:2:1: pool.atempts is not a setting; did you mean retry.attempts?",
    );
    refused(
        "[log]\nverifier = 5\n",
        "tidegate.toml:2:1: log.verifier is not a setting; verifier belongs in [[user]]",
    );
    refused(
        "[retry]\nunlimited = true\n",
        "tidegate.toml:2:1: retry.unlimited is not a setting; [retry] has attempts, multiplier, \
         min, max, jitter, budget, read_only",
    );
    refused(
        "unlimited = true\n",
        "tidegate.toml:1:1: unlimited is not a setting; there is plan, and the sections upstream, \
         listen, pool, pool_for, timeouts, retry, prepared, log, user, auth, console, profile",
    );
    refused(
        "[[pool_for]]\nuser = \"app\"\nmax_overfow = 1\n",
        "tidegate.toml:3:1: pool_for.max_overfow is not a setting; did you mean \
         pool_for.max_overflow?",
    );
}

#[test]
fn unknown_and_misshapen_sections_are_told() {
    refused(
        "[poool]\npool_size = 5\n",
        "tidegate.toml:1:2: [poool] is not a section; did you mean [pool]?",
    );
    refused(
        "[kubernetes]\n",
        "tidegate.toml:1:2: [kubernetes] is not a section; the sections are upstream, listen, \
         pool, pool_for, timeouts, retry, prepared, log, user, auth, console, profile",
    );
    refused("pool = 5\n", "tidegate.toml:1:8: pool is a section: write [pool]");
    refused(
        "[user]\nname = \"app\"\n",
        "tidegate.toml:1:2: there may be several of these, so write [[user]]",
    );
    refused("user = [\"app\"]\n", "tidegate.toml:1:9: a user is a table: [[user]]");
    refused(
        "[plan]\nname = \"free\"\n",
        "tidegate.toml:1:1: plan is a table where a value is wanted",
    );
}

#[test]
fn syntax_errors_are_told_with_their_place() {
    refused("[pool]\npool_size = 5\npool_size = 6\n", "tidegate.toml:3:1: not TOML: duplicate key");
}

#[test]
fn values_of_the_wrong_kind_are_told_with_what_is_allowed() {
    refused(
        "[pool]\npool_timeout = \"30\"\n",
        "tidegate.toml:2:16: pool.pool_timeout is \"30\", a number without a unit; allowed: 1ms to \
         1h\n  give a unit: 30s, 500ms, 5m, 1h",
    );
    refused(
        "[pool]\npool_timeout = 30\n",
        "tidegate.toml:2:16: pool.pool_timeout is 30, a number without a unit; allowed: 1ms to 1h\
         \n  give a unit: 30s, 500ms, 5m, 1h",
    );
    refused(
        "[timeouts]\ndrain = \"half an hour\"\n",
        "tidegate.toml:2:9: timeouts.drain is \"half an hour\", not a duration; allowed: 0s to 1d\
         \n  write numbers with units: 30s, 500ms, 5m, 1h30m",
    );
    refused(
        "[pool]\npool_recycle = -1\n",
        "tidegate.toml:2:16: pool.pool_recycle is -1, not a duration; allowed: 1s to 30d, \"off\"\
         \n  write \"off\"",
    );
    refused(
        "[pool]\npool_size = \"many\"\nmax_overflow = [5]\n",
        "tidegate.toml:2:13: pool.pool_size is \"many\", not a whole number; allowed: 0 to 10000, \
         \"auto\"\n\n\
         tidegate.toml:3:16: pool.max_overflow is a list of something other than text",
    );
    refused(
        "[retry]\njitter = \"maybe\"\nbudget = \"a tenth\"\n",
        "tidegate.toml:2:10: retry.jitter is \"maybe\", neither true nor false; allowed: true, \
         false\n\n\
         tidegate.toml:3:10: retry.budget is \"a tenth\", not a number; allowed: 0 to 1",
    );
    refused(
        "plan = \"fre\"\n",
        "tidegate.toml:1:8: plan is \"fre\", not one of its words; allowed: auto, free, pro, \
         enterprise, custom, supabase-nano, supabase-micro, supabase-small, supabase-medium, \
         supabase-large, supabase-xl, supabase-2xl, supabase-4xl, supabase-8xl, supabase-12xl, \
         supabase-16xl\n  did you mean \"free\"?",
    );
    refused(
        "[log]\nlevel = [\"info\"]\n",
        "tidegate.toml:2:9: log.level is [\"info\"], a list where one value is wanted; allowed: \
         error, warn, info, debug, trace",
    );
    refused(
        "[[user]]\nname = 7\npassword = 0o17\n",
        "tidegate.toml:2:8: user.name is 7, not text; allowed: any text\n  put it in quotes\n\n\
         tidegate.toml:3:12: user.password is not text\n  put it in quotes",
    );
}

#[test]
fn values_out_of_range_are_told_with_the_range() {
    refused(
        "[upstream]\nconnections = 0\nheadroom = -1\ncensus = \"1ms\"\n",
        "tidegate.toml:2:15: upstream.connections is 0, out of range; allowed: 1 to 262143, \
         \"auto\"\n\n\
         tidegate.toml:3:12: upstream.headroom is -1, out of range; allowed: 0 to 262143\n\n\
         tidegate.toml:4:10: upstream.census is \"1ms\", out of range; allowed: 100ms to 1h, \
         \"off\"",
    );
    refused(
        "[retry]\nattempts = 0\nbudget = 1.5\n[listen]\nworkers = 99999\n\
         clients_max = 99999999999999999999\n[pool]\npool_pre_ping = 0\n",
        "tidegate.toml:2:12: retry.attempts is 0, out of range; allowed: 1 to 100\n\n\
         tidegate.toml:3:10: retry.budget is 1.5, out of range; allowed: 0 to 1\n\n\
         tidegate.toml:5:11: listen.workers is 99999, out of range; allowed: 1 to 256\n\n\
         tidegate.toml:6:15: listen.clients_max is 99999999999999999999, out of range; allowed: 1 \
         to 1000000\n\n\
         tidegate.toml:8:17: pool.pool_pre_ping is 0, out of range; allowed: 1s to 1d, \"always\", \
         \"off\"",
    );
}

#[test]
fn bad_addresses_are_told() {
    refused(
        "[listen]\nsession = \"db.example.com:6543\"\nhttp = [\"127.0.0.1\", \":1\"]\n",
        "tidegate.toml:2:11: listen.session is \"db.example.com:6543\", not an IP address with a \
         port; allowed: IP:PORT, :PORT (all interfaces), localhost:PORT, unix:/PATH, a list of \
         these, \"off\"\n\n\
         tidegate.toml:3:8: listen.http is [\"127.0.0.1\", \":1\"], an address without a port; \
         allowed: IP:PORT, :PORT (all interfaces), localhost:PORT, unix:/PATH, a list of these, \
         \"off\"",
    );
}

#[test]
fn bad_urls_are_told_without_the_url() {
    refused(
        "[upstream]\nurl = \"postgres://db/app\"\n",
        "tidegate.toml:2:7: upstream.url names no user\n  write \
         postgres://USER:PASSWORD@HOST:5432/DATABASE",
    );
    refused(
        "[upstream]\nurl = \"postgres://app:hunter2/x@db/app\"\n",
        "tidegate.toml:2:7: upstream.url has a character in its user name, password, or database \
         that must be written as %XX\n  write @ as %40, / as %2F, : as %3A, ? as %3F, # as %23, % \
         as %25",
    );
    refused(
        "[upstream]\nurl = \"postgres://app:hunter2\"\n",
        "tidegate.toml:2:7: upstream.url names no user\n  write \
         postgres://USER:PASSWORD@HOST:5432/DATABASE",
    );
    refused(
        "[upstream]\nurl = \"postgres://app:hunter2@db/app?sslmode=verify-all\"\n",
        "tidegate.toml:2:7: upstream.url has an sslmode that does not exist\n  write disable, \
         allow, prefer, require, verify-ca, or verify-full",
    );
    refused(
        "[upstream]\nurl = [\"postgres://app:hunter2@db/app\"]\n",
        "tidegate.toml:2:7: upstream.url is a list where one value is wanted",
    );
    let problems = load_file("", &["DATABASE_URL=mysql://app:hunter2@db/app"], &[]);
    assert_eq!(
        problems.expect_err("it is not PostgreSQL").to_string(),
        "environment variable DATABASE_URL: upstream.url is not a connection string\n  write \
         postgres://USER:PASSWORD@HOST:5432/DATABASE"
    );
}

#[test]
fn a_missing_url_is_told_with_the_remedy() {
    let problems = load_file("[upstream]\nurl = \"\"\n", &["DATABASE_URL="], &[]);
    assert_eq!(
        problems.expect_err("there is no upstream").to_string(),
        "upstream.url is not set\n  set DATABASE_URL, or write url = \
         \"postgres://USER:PASSWORD@HOST:5432/DATABASE\" under [upstream]"
    );
}

#[test]
fn contradictions_are_told() {
    refused(
        "[listen]\nsession = \"127.0.0.1:7000\"\ntransaction = \":7000\"\nhttp = \"off\"\n",
        "tidegate.toml:3:15: listen.transaction ([::]:7000) takes the address of listen.session \
         (127.0.0.1:7000)\n  give each a port of its own",
    );
    refused(
        "[listen]\nhttp = [\"localhost:7000\", \"127.0.0.1:6544\", \"localhost:7000\"]\n",
        "tidegate.toml:2:8: listen.http (127.0.0.1:6544) takes the address of listen.transaction \
         (127.0.0.1:6544)\n  give each a port of its own\n\n\
         tidegate.toml:2:8: listen.http (127.0.0.1:7000) takes the address of listen.http \
         (127.0.0.1:7000)\n  give each a port of its own",
    );
    refused(
        "[listen]\nsession = \"off\"\ntransaction = \"off\"\n",
        "tidegate.toml:2:11: listen.session and listen.transaction are both off, so no client \
         could connect",
    );
    refused(
        "[retry]\nmin = \"1m30s\"\n",
        "tidegate.toml:2:7: retry.min (1m30s) is above retry.max (10s)",
    );
    refused(
        "[pool]\npool_size = 0\nmax_overflow = 0\n",
        "tidegate.toml:2:13: pool.pool_size and pool.max_overflow are both 0, so the pool could \
         never have a server\n  0 means zero here; what is unlimited elsewhere is bounded by the \
         budget",
    );
    refused(
        "[pool]\npool_size = 0\n[[pool_for]]\nuser = \"cron\"\nmax_overflow = 0\n",
        "tidegate.toml:5:16: pool_for.pool_size and pool_for.max_overflow are both 0, so the pool \
         could never have a server\n  0 means zero here; what is unlimited elsewhere is bounded by \
         the budget",
    );
    refused(
        "[[pool_for]]\npool_size = 5\n",
        "tidegate.toml:1:1: a [[pool_for]] names neither a database nor a user\n  give one or \
         both; what is meant for every pool belongs in [pool]",
    );
    refused(
        "[upstream]\nurl = \"postgres://app:hunter2@db/app\"\npassword_file = \"secret\"\n",
        "tidegate.toml:3:17: upstream.password_file is given, and so is a password in \
         upstream.url\n  leave one of them out",
    );
}

#[test]
fn contradictions_in_what_the_url_asks_of_tls_are_told_all_at_once() {
    refused(
        "[upstream]\nurl = \"postgres://app:hunter2@db/app?sslmode=require&sslrootcert=system&\
         sslcert=pem\"\n",
        "tidegate.toml:2:7: upstream.url has sslcert, but no sslkey\n  give both or neither; the \
         file of the authority that signed the server's certificate is sslrootcert\n\n\
         tidegate.toml:2:7: upstream.url has sslrootcert=system, but sslmode=require verifies no \
         certificate\n  write sslmode=verify-full",
    );
    refused(
        "[upstream]\nurl = \"postgres://app:hunter2@db/app?sslmode=disable&\
         sslnegotiation=direct&channel_binding=require&sslkey=key\"\n",
        "tidegate.toml:2:7: upstream.url has channel_binding=require, which needs TLS, but \
         sslmode=disable\n  write sslmode=require, or stronger\n\n\
         tidegate.toml:2:7: upstream.url has sslkey, but no sslcert\n  give both or neither; the \
         file of the authority that signed the server's certificate is sslrootcert\n\n\
         tidegate.toml:2:7: upstream.url has sslnegotiation=direct, which leaves no way to do \
         without TLS, but sslmode=disable\n  write sslmode=require, or stronger",
    );
    refused(
        "[upstream]\nurl = \"host=db user=app sslmode=require sslrootcert=absent \
         sslcert=nothing sslkey=/nowhere/key\"\n",
        "tidegate.toml:2:7: upstream.url's sslcert nothing is empty\n\n\
         tidegate.toml:2:7: upstream.url's sslkey /nowhere/key cannot be read: No such file or \
         directory (os error 2)\n\n\
         tidegate.toml:2:7: upstream.url's sslrootcert absent cannot be read: No such file or \
         directory (os error 2)",
    );
}

#[test]
fn contradictions_in_tls_towards_clients_are_told() {
    refused(
        "[listen]\ntls = \"require\"\n",
        "tidegate.toml:2:7: listen.tls is require, but listen.tls_cert and listen.tls_key are not \
         set\n  give both, tls_cert = FILE and tls_key = FILE, or write tls = \"off\"",
    );
    refused(
        "[listen]\ntls = \"allow\"\ntls_cert = \"pem\"\ntls_client_cert = \"require\"\n\
         transaction = \"127.0.0.1:6543\"\n",
        "tidegate.toml:2:7: listen.tls is allow, but listen.tls_key is not set\n  give both, \
         tls_cert = FILE and tls_key = FILE, or write tls = \"off\"\n\n\
         tidegate.toml:4:19: listen.tls_client_cert is require, but listen.tls_client_ca is not \
         set, so no certificate could be verified\n  give tls_client_ca, the file of the \
         authority that signs them\n\n\
         tidegate.toml:5:15: listen.transaction (127.0.0.1:6543) takes the address of \
         listen.session (127.0.0.1:6543)\n  give each a port of its own",
    );
    refused(
        "[listen]\ntls_client_cert = \"require\"\n",
        "tidegate.toml:2:19: listen.tls_client_cert is require, but listen.tls is off, so no \
         client could present one\n  write tls = \"require\", or tls = \"allow\"",
    );
    refused(
        "[listen]\ntls = \"require\"\ntls_cert = \".\"\ntls_key = \"absent\"\n\
         tls_client_ca = \"nothing\"\n",
        "tidegate.toml:3:12: listen.tls_cert . cannot be read: Is a directory (os error 21)\n\n\
         tidegate.toml:4:11: listen.tls_key absent cannot be read: No such file or directory (os \
         error 2)\n\n\
         tidegate.toml:5:17: listen.tls_client_ca nothing is empty",
    );
    refused(
        "[listen]\ntls = \"on\"\ntls_client_cert = \"requird\"\n",
        "tidegate.toml:2:7: listen.tls is \"on\", not one of its words; allowed: off, allow, \
         require\n\n\
         tidegate.toml:3:19: listen.tls_client_cert is \"requird\", not one of its words; \
         allowed: optional, require\n  did you mean \"require\"?",
    );
}

#[test]
fn a_query_that_cannot_be_asked_is_told() {
    let query = |query: &str, why: &str| {
        refused(
            &format!("[auth]\nquery = \"{query}\"\n"),
            &format!(
                "tidegate.toml:2:9: auth.query is \"{query}\", {why}; allowed: one statement with $1"
            ),
        );
    };
    query("SELECT usename, passwd FROM pg_shadow", "a statement without $1");
    query("SELECT $1, $2", "a statement with a parameter other than $1");
    query("SELECT $1; DROP TABLE t", "more than one statement");
    query("SELECT $1, 'x", "a statement with a quote or a comment that does not end");
    refused(
        "[auth]\nquery = 1\nquery_cache = \"2d\"\n[prepared]\nstatements_max = 0\n",
        "tidegate.toml:2:9: auth.query is 1, not text; allowed: one statement with $1\n  put it in \
         quotes\n\n\
         tidegate.toml:3:15: auth.query_cache is \"2d\", out of range; allowed: 0s to 1d\n\n\
         tidegate.toml:5:18: prepared.statements_max is 0, out of range; allowed: 1 to 10000, \
         \"off\"",
    );
}

#[test]
fn bad_users_are_told() {
    refused(
        "[[user]]\nname = \"app\"\n[[user]]\nname = \"app\"\npassword = \"hunter2\"\n[[user]]\n\
         password = \"hunter2\"\n",
        "tidegate.toml:4:8: user.name is \"app\" a second time\n  the first is in line 2\n\n\
         tidegate.toml:6:1: a [[user]] has no name",
    );
    refused(
        "[[user]]\nname = \"app\"\npassword = \"hunter2\"\nverifier = \"md5hunter2\"\n",
        "tidegate.toml:4:12: user.verifier is given, and so is user.password\n  leave one of them \
         out\n\n\
         tidegate.toml:4:12: user.verifier is not a SCRAM-SHA-256 verifier\n  write what \
         pg_authid.rolpassword has for a role whose password was set with password_encryption = \
         'scram-sha-256'",
    );
    refused(
        "[[user]]\nname = \"app\"\npassword_file = \"absent\"\n[[user]]\nname = \"cron\"\n\
         password_file = \"empty\"\n",
        "tidegate.toml:3:17: user.password_file absent cannot be read: No such file or directory \
         (os error 2)\n\n\
         tidegate.toml:6:17: user.password_file empty is empty",
    );
}

#[test]
fn a_user_without_a_password_may_not_be_reached_from_other_machines() {
    refused(
        "[listen]\ntransaction = \"0.0.0.0:7000\"\n[[user]]\nname = \"cron\"\n[[user]]\n\
         name = \"app\"\n",
        "tidegate.toml:4:8: user \"cron\" has no password, and listen.transaction is open to other \
         machines at 0.0.0.0:7000: it would let anyone in\n  give the user a password, or listen \
         on 127.0.0.1",
    );
    refused(
        "[listen]\nsession = \":7000\"\n[upstream]\nurl = \"postgres://app@db\"\n",
        "tidegate.toml:4:7: user \"app\" has no password, and listen.session is open to other \
         machines at [::]:7000: it would let anyone in\n  give the user a password, or listen on \
         127.0.0.1",
    );
    refused(
        "[listen]\nsession = \":7000\"\n[auth]\nquery = \"SELECT f($1)\"\n[[user]]\n\
         name = \"cron\"\n",
        "tidegate.toml:6:8: user \"cron\" has no password, and listen.session is open to other \
         machines at [::]:7000: it would let anyone in\n  give the user a password, leave its \
         [[user]] out so that auth.query is asked, or listen on 127.0.0.1",
    );
    // The URL's user is not looked up, so a query does not help it.
    refused(
        "[listen]\nsession = \":7000\"\n[upstream]\nurl = \"postgres://app@db\"\n[auth]\n\
         query = \"SELECT f($1)\"\n",
        "tidegate.toml:4:7: user \"app\" has no password, and listen.session is open to other \
         machines at [::]:7000: it would let anyone in\n  give the user a password, or listen on \
         127.0.0.1",
    );
    // Where only this machine can connect it is the operator's choice.
    let local = "[listen]\nsession = [\"[::1]:7000\", \"unix:/run/x\"]\nhttp = \":7001\"\n\
                 [[user]]\nname = \"cron\"\n";
    assert!(load_file(local, &[DATABASE_URL], &[]).is_ok());
}

#[test]
fn variables_in_strings_must_exist() {
    refused(
        "[upstream]\nurl = \"${NOT_THERE}\"\npassword_file = \"${\"\n[log]\nlevel = \"${1}\"\n",
        "tidegate.toml:2:7: upstream.url needs the environment variable NOT_THERE, which is not \
         set\n\n\
         tidegate.toml:3:17: upstream.password_file has a ${ that is not ${NAME}; for these \
         characters themselves write $${\n\n\
         tidegate.toml:5:9: log.level has a ${ that is not ${NAME}; for these characters \
         themselves write $${",
    );
}

#[test]
fn all_sources_are_checked_at_once_in_order() {
    let problems = load_file(
        "[pool]\nreset = \"never\"\n[retry]\nmin = \"1x\"\n",
        &["TIDEGATE_LOG_LEVEL=loud"],
        &["pool.pool_size=-5", "pool.pool_sze=5", "user.name=app"],
    );
    assert_eq!(
        problems.expect_err("all of it is wrong").to_string(),
        "upstream.url is not set\n  set DATABASE_URL, or write url = \
         \"postgres://USER:PASSWORD@HOST:5432/DATABASE\" under [upstream]\n\n\
         tidegate.toml:2:9: pool.reset is \"never\", not one of its words; allowed: auto, always, \
         off\n\n\
         tidegate.toml:4:7: retry.min is \"1x\", not a duration; allowed: 0s to 10m\n  write \
         numbers with units: 30s, 500ms, 5m, 1h30m\n\n\
         environment variable TIDEGATE_LOG_LEVEL: log.level is \"loud\", not one of its words; \
         allowed: error, warn, info, debug, trace\n\n\
         command line, pool.pool_size: pool.pool_size is \"-5\", out of range; allowed: 0 to \
         10000, \"auto\"\n\n\
         command line, pool.pool_sze: pool.pool_sze is not a setting; did you mean \
         pool.pool_size?\n\n\
         command line, user.name: user.name is not a setting; name belongs in [[user]]"
    );
}

#[test]
fn what_does_no_harm_is_a_warning() {
    warned(
        "plan = \"free\"\n[pool]\npool_size = 20\n[[pool_for]]\nuser = \"cron\"\npool_size = 16\n",
        "tidegate.toml:3:13: pool.pool_size is 20, but the plan and upstream.connections allow 15 \
         in all; the pool will not reach its size\n\n\
         tidegate.toml:6:13: pool_for.pool_size is 16, but the plan and upstream.connections allow \
         15 in all; the pool will not reach its size",
    );
    warned(
        "[upstream]\nurl = \"postgres://app:s@db/app?pgbouncer=true\"\nconnections = 3\n[listen]\n\
         http = \":6545\"\n",
        "tidegate.toml:2:7: the parameter pgbouncer of upstream.url is not used\n\n\
         tidegate.toml:5:8: listen.http is open to other machines at [::]:6545; whoever reaches it \
         can read the page and the API",
    );
}

#[test]
fn what_of_tls_is_probably_not_meant_is_a_warning() {
    warned(
        "[upstream]\nurl = \"postgres://app:s@db/app?sslrootcert=pem\"\n[listen]\n\
         tls_cert = \"absent\"\ntls_key = \"absent\"\n",
        "tidegate.toml:2:7: upstream.url has sslrootcert, but sslmode=prefer verifies no \
         certificate\n  write sslmode=verify-full\n\n\
         tidegate.toml:4:12: listen.tls_cert and listen.tls_key are given, but listen.tls is off\n\
         \x20 write tls = \"require\", or tls = \"allow\"",
    );
    warned(
        "[upstream]\nurl = \"postgres://app:s@db/app?sslmode=disable&sslcert=absent&\
         sslkey=absent\"\n[listen]\ntls_client_ca = \"absent\"\n",
        "tidegate.toml:2:7: upstream.url has sslcert, but sslmode=disable shows it to nobody\n\n\
         tidegate.toml:4:17: listen.tls_client_ca is given, but listen.tls is off\n  write \
         tls = \"require\", or tls = \"allow\"",
    );
    warned(
        "[upstream]\nurl = \"postgres://app:s@db/app?sslmode=verify-ca&sslcert=pem&\
         sslkey=open.key\"\n[listen]\ntls = \"allow\"\ntls_cert = \"pem\"\n\
         tls_key = \"open.key\"\ntls_client_ca = \"pem\"\ntls_client_cert = \"require\"\n",
        "tidegate.toml:2:7: sslmode=verify-ca of upstream.url accepts what a public authority has \
         signed for anybody\n  write sslmode=verify-full, or give the authority as sslrootcert\n\n\
         tidegate.toml:2:7: upstream.url's sslkey open.key is open to other users\n  chmod 600 \
         open.key\n\n\
         tidegate.toml:6:11: listen.tls_key open.key is open to other users\n  chmod 600 \
         open.key\n\n\
         tidegate.toml:8:19: listen.tls_client_cert is require, but listen.tls is allow: a client \
         without TLS needs no certificate\n  write tls = \"require\"",
    );
    warned(
        "[upstream]\nurl = \"postgres://app:s@db/app?sslmode=verify-full&sslcert=pem&sslkey=key\"\n\
         [listen]\ntls = \"require\"\ntls_cert = \"pem\"\ntls_key = \"key\"\n",
        "",
    );
}

#[test]
fn unknown_variables_are_warnings_but_for_those_of_orchestrators() {
    let env = [
        DATABASE_URL,
        "TIDEGATE_CONFIG=",
        "TIDEGATE_MAX_OVERFLOW=5",
        "TIDEGATE_PORT=tcp://10.0.0.1:6543",
        "TIDEGATE_PORT_6543_TCP_ADDR=10.0.0.1",
        "TIDEGATE_RETRY_MNI=5",
        "TIDEGATE_SERVICE_HOST=10.0.0.1",
        "TIDEGATE_SOMETHING_ELSE=hunter2",
    ];
    let loaded = load_file("", &env, &[]).expect("nothing is wrong");
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "environment variable TIDEGATE_MAX_OVERFLOW: TIDEGATE_MAX_OVERFLOW is not a setting; \
             did you mean TIDEGATE_POOL_MAX_OVERFLOW?",
            "environment variable TIDEGATE_RETRY_MNI: TIDEGATE_RETRY_MNI is not a setting; did you \
             mean TIDEGATE_RETRY_MIN?",
            "environment variable TIDEGATE_SOMETHING_ELSE: TIDEGATE_SOMETHING_ELSE is not a \
             setting and is ignored",
        ]
    );
}

#[test]
fn a_file_that_was_asked_for_must_be_there() {
    let missing = |file: Option<&str>, env: &[(String, String)]| {
        let sources = Sources { file: file.map(PathBuf::from), search: vec![], env, flags: &[] };
        load(&sources).expect_err("there is no such file").to_string()
    };
    assert_eq!(
        missing(Some("/nowhere/a.toml"), &[]),
        "the settings file /nowhere/a.toml cannot be read: No such file or directory (os error 2)"
    );
    let env = [("TIDEGATE_CONFIG".to_owned(), "/nowhere/b.toml".to_owned())];
    assert_eq!(
        missing(None, &env),
        "environment variable TIDEGATE_CONFIG: the settings file /nowhere/b.toml cannot be read: \
         No such file or directory (os error 2)"
    );
}
