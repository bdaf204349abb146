//! Logging in without a password that Tidegate knows: verifiers, users who are looked up in the
//! database, keys that are passed through.

use std::time::Duration;

use tidegate_scratch::{Cluster, ClusterOptions, StopMode};
use tidegate_testkit::certificates::{Authority, Folder, listen_flags};
use tidegate_testkit::gate::Gate;
use tidegate_testkit::libpq;
use tidegate_testkit::raw::{Frame, Raw};
use tidegate_testkit::scene::{APP, cluster};
use tidegate_testkit::wait;

const BINARY: &str = env!("CARGO_BIN_EXE_tidegate");

/// The role that Tidegate itself logs in as.
const OWN: &str = "tidegate";

/// What a budget that is full of clients' servers looks like: two of them, and the control plane.
const SMALL: [&str; 2] = ["upstream.connections=3", "upstream.headroom=0"];

/// A PostgreSQL with the function that the documentation tells people to make.
fn upstream(options: ClusterOptions) -> Cluster {
    let cluster = cluster(options);
    cluster.sql("CREATE ROLE tidegate LOGIN PASSWORD 'own'").expect("a role");
    cluster.sql_in(APP, recipe()).expect("the recipe works");
    cluster
}

/// The statements in the documentation, as they stand there.
fn recipe() -> &'static str {
    let page = include_str!("../../../docs/auth.md");
    let (_, rest) = page.split_once("```sql\n").expect("the page has the statements");
    let (statements, _) = rest.split_once("```").expect("they end");
    statements
}

/// The query in the documentation.
fn query() -> &'static str {
    let page = include_str!("../../../docs/auth.md");
    let line = page.lines().find_map(|line| line.strip_prefix("query = ")).expect("the query");
    line.trim_matches('"')
}

fn own_url(cluster: &Cluster) -> String {
    cluster.url(OWN, "own", APP)
}

fn gate(cluster: &Cluster, more: &str, flags: &[&str]) -> Gate {
    let settings = format!("{more}[auth]\nquery = \"{}\"\n", query());
    Gate::start(BINARY, &own_url(cluster), &settings, flags)
}

fn try_log_in(port: u16, user: &str, password: &str) -> Result<Raw, Frame> {
    let mut raw = Raw::connect(port);
    raw.try_log_in(&[("user", user), ("database", APP)], password).map(|()| raw)
}

fn words(error: &Frame) -> String {
    [b'S', b'C', b'M', b'D', b'H'].map(|field| error.field(field)).join("\n")
}

fn role(cluster: &Cluster, name: &str, password: &str) {
    let sql = format!("CREATE ROLE {name} LOGIN PASSWORD '{password}'");
    cluster.sql(&sql).expect("a role");
}

fn verifier(cluster: &Cluster, name: &str) -> String {
    let sql = format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{name}'");
    cluster.sql(&sql).expect("a verifier")
}

fn calls(cluster: &Cluster, expected: &str) {
    let sql =
        "SELECT coalesce(sum(calls), 0) FROM pg_stat_user_functions WHERE schemaname = 'tidegate'";
    let mut last = String::new();
    wait::until(&format!("{expected} look-ups"), || {
        last = cluster.sql_in(APP, sql).expect("an answer");
        (last == expected).then_some(())
    });
}

// --- Keys passed through. ---

fn with_verifier(cluster: &Cluster) -> Gate {
    let settings =
        format!("[[user]]\nname = \"{APP}\"\nverifier = \"{}\"\n", verifier(cluster, APP));
    Gate::start(BINARY, &own_url(cluster), &settings, &[])
}

#[test]
fn a_verifier_lets_in_and_out_without_any_password() {
    let cluster = upstream(ClusterOptions::default());
    let gate = with_verifier(&cluster);
    for port in [gate.session, gate.transaction] {
        let mut client = try_log_in(port, APP, "secret").expect("the password is right");
        assert_eq!(client.value("SELECT current_user"), APP);
        let error = try_log_in(port, APP, "wrong").err().expect("it is wrong");
        assert_eq!(error.sqlstate(), "28P01");
    }
}

#[test]
fn keys_that_do_not_fit_any_more_are_told_with_the_remedy_until_they_do() {
    let cluster = upstream(ClusterOptions::default());
    let mut gate = with_verifier(&cluster);
    gate.allow("can't open a server").allow("a server");
    let old = verifier(&cluster, APP);
    drop(try_log_in(gate.transaction, APP, "secret").expect("all is well"));
    for change in [
        "ALTER ROLE app PASSWORD 'another'",
        // The same password has another salt.
        "ALTER ROLE app PASSWORD 'secret'",
    ] {
        cluster.sql(change).expect("it is changed");
        cluster
            .sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'app'")
            .expect("its servers are gone");
        for port in [gate.session, gate.transaction] {
            let mut last = String::new();
            wait::until("a client is told", || {
                let told = try_log_in(port, APP, "secret").and_then(|mut raw| {
                    raw.query("SELECT 42");
                    let frames = raw.until_ready();
                    frames.into_iter().find(|frame| frame.tag == b'E').map_or(Ok(()), Err)
                });
                last = words(&told.err()?);
                last.contains("28000").then_some(())
            });
            assert!(last.contains("refused the login"), "{last}");
            assert!(last.contains("give the user a password in the settings"), "{last}");
            assert!(last.contains("pg_authid.rolpassword"), "{last}");
        }
    }
    cluster.sql(&format!("ALTER ROLE app PASSWORD '{old}'")).expect("it is as it was");
    wait::until("it works again", || {
        let mut client = try_log_in(gate.transaction, APP, "secret").ok()?;
        client.query("SELECT 42");
        (client.tags() == "TDCZI").then_some(())
    });
}

#[test]
fn keys_pass_through_a_login_that_is_bound_to_tls() {
    let cluster = upstream(ClusterOptions::default());
    role(&cluster, "bob", "bobs");
    let (folder, ours) = (Folder::default(), Authority::new("ours"));
    let flags = listen_flags(&folder, "require", &ours.issue(&["localhost"]));
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let gate = gate(&cluster, "", &flags);
    for (port, binding) in [(gate.session, "require"), (gate.transaction, "disable")] {
        let info = format!(
            "host=127.0.0.1 port={port} user=bob password=bobs dbname={APP} sslmode=require \
             channel_binding={binding}"
        );
        let older = libpq::psql(&info, "SELECT current_user");
        let (_, newer) = libpq::newer(&[info], "SELECT current_user");
        for outcome in [&older, &newer[0]] {
            assert_eq!(outcome.as_ref().expect("he is let in").value, "bob");
        }
    }
}

// --- Looking up. ---

#[test]
fn who_is_only_in_the_database_logs_in_on_both_ports_and_nobody_else_does() {
    let cluster = upstream(ClusterOptions::default());
    role(&cluster, "bob", "bobs");
    cluster.sql("CREATE ROLE nologin PASSWORD 'x'").expect("a role");
    role(&cluster, "expired", "x");
    cluster.sql("ALTER ROLE expired VALID UNTIL '2020-01-01'").expect("it has expired");
    let gate = gate(&cluster, "", &[]);
    for port in [gate.session, gate.transaction] {
        for (user, password) in [("bob", "bobs"), (APP, "secret"), (OWN, "own")] {
            let mut client = try_log_in(port, user, password)
                .unwrap_or_else(|error| panic!("{user}: {}", words(&error)));
            assert_eq!(client.value("SELECT current_user"), user);
        }
    }
    // Wrong password, nobody, may not log in, has expired, is a superuser: all the same.
    let told: Vec<_> = [
        ("bob", "wrong"),
        ("nobody", "x"),
        ("nologin", "x"),
        ("expired", "x"),
        ("postgres", "postgres"),
    ]
    .map(|(user, password)| {
        let error = try_log_in(gate.transaction, user, password).err();
        words(&error.unwrap_or_else(|| panic!("{user} was let in"))).replace(user, "USER")
    })
    .into();
    assert!(told[0].starts_with("FATAL\n28P01\npassword authentication failed"), "{}", told[0]);
    assert!(told.iter().all(|one| *one == told[0]), "{told:?}");
    // The function is for nobody else.
    let mut bob = try_log_in(gate.session, "bob", "bobs").expect("his password is right");
    assert_eq!(bob.failure("SELECT * FROM tidegate.verifier('bob')"), "42501");
}

#[test]
fn a_changed_password_works_at_the_second_attempt_at_the_latest() {
    let cluster = upstream(ClusterOptions::default());
    role(&cluster, "bob", "bobs");
    let gate = gate(&cluster, "", &[]);
    for (port, password) in [(gate.session, "next"), (gate.transaction, "last")] {
        let before = if password == "next" { "bobs" } else { "next" };
        let mut client = try_log_in(port, "bob", before).expect("he is let in");
        cluster.sql(&format!("ALTER ROLE bob PASSWORD '{password}'")).expect("it is changed");
        // An answer of less than a second ago is not doubted.
        let elapsed = wait::stopwatch();
        wait::until("the answer is a second old", || {
            (elapsed() > Duration::from_millis(1100)).then_some(())
        });
        let first = try_log_in(port, "bob", password);
        let mut next = match first {
            Ok(raw) => raw,
            Err(error) => {
                assert_eq!(error.sqlstate(), "28P01");
                try_log_in(port, "bob", password).expect("the gate has asked anew")
            }
        };
        assert_eq!(next.value("SELECT current_user"), "bob");
        assert_eq!(client.value("SELECT 42"), "42", "who was in stays in");
        assert_eq!(
            try_log_in(port, "bob", before).err().map(|e| e.sqlstate()),
            Some("28P01".into())
        );
        // New servers take the new keys.
        cluster
            .sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'bob'")
            .expect("his servers are gone");
        wait::until("a new server lets him in", || {
            let mut raw = try_log_in(port, "bob", password).ok()?;
            raw.query("SELECT 42");
            (raw.tags() == "TDCZI").then_some(())
        });
    }
}

#[test]
fn a_full_budget_keeps_nobody_from_being_looked_up() {
    let cluster = upstream(ClusterOptions::default());
    role(&cluster, "bob", "bobs");
    let gate = gate(&cluster, "plan = \"free\"\n", &SMALL);
    let mut holders: Vec<_> = (0..2)
        .map(|_| {
            let mut raw = try_log_in(gate.transaction, APP, "secret").expect("he is let in");
            raw.begin();
            raw.run("SELECT 1");
            raw
        })
        .collect();
    for port in [gate.session, gate.transaction] {
        let (took, error) = wait::timed(|| try_log_in(port, "bob", "wrong").err());
        assert_eq!(error.map(|error| error.sqlstate()), Some("28P01".into()));
        assert!(took < Duration::from_secs(5), "it was told after {took:?}");
    }
    let port = gate.transaction;
    let bob = std::thread::spawn(move || {
        try_log_in(port, "bob", "bobs").map(|mut raw| raw.value("SELECT current_user"))
    });
    wait::until("he is in, and waits for a server", || {
        (gate.metric("tidegate_checkout_queue_length", &[]) == 1.0).then_some(())
    });
    holders[0].run("COMMIT");
    assert_eq!(bob.join().expect("no panic").expect("he is let in"), "bob");
}

#[test]
fn a_query_that_fails_is_told_and_logged_and_works_again_when_it_is_mended() {
    let cluster = upstream(ClusterOptions::default());
    role(&cluster, "bob", "bobs");
    cluster.sql("SET password_encryption = md5; CREATE ROLE old LOGIN PASSWORD 'x'").expect("md5");
    let mut gate = gate(&cluster, "", &["auth.query_cache=0s"]);
    gate.allow("can't look up a user");
    assert!(try_log_in(gate.session, "bob", "bobs").is_ok());
    let make = |body: &str, columns: &str| {
        let sql = format!(
            "DROP FUNCTION IF EXISTS tidegate.verifier(text); \
             CREATE FUNCTION tidegate.verifier(wanted text) RETURNS TABLE ({columns}) \
             LANGUAGE plpgsql AS $$ BEGIN {body} END $$"
        );
        cluster.sql_in(APP, &sql).expect("a function");
    };
    let fails = |words_of_client: &str, words_of_log: &str| {
        for port in [gate.session, gate.transaction] {
            let error = try_log_in(port, "bob", "bobs").err().expect("nobody can be asked");
            let told = words(&error);
            assert!(told.starts_with("FATAL\n08001\ncould not look up the user"), "{told}");
            assert!(told.contains(words_of_client) && told.contains("(TG021)"), "{told}");
            assert!(!told.contains(words_of_log), "that is for the log: {told}");
        }
        wait::until(&format!("{words_of_log} is logged"), || {
            let log = gate.log();
            let mut texts = log.iter().filter_map(|line| line["fields"]["message"].as_str());
            texts.any(|text| text.contains(words_of_log)).then_some(())
        });
    };
    cluster.sql_in(APP, "DROP FUNCTION tidegate.verifier(text)").expect("it is gone");
    fails("auth.query failed", "tidegate.verifier(unknown) does not exist");
    make("RAISE 'no luck today';", "name text, verifier text");
    fails("auth.query failed", "no luck today");
    make("RETURN QUERY SELECT wanted, 1;", "name text, verifier integer");
    fails("auth.query failed", "both text");
    make("RETURN QUERY SELECT wanted, 'secret'::text;", "name text, verifier text");
    fails("auth.query failed", "no SCRAM-SHA-256 verifier");
    cluster.sql_in(APP, "DROP FUNCTION tidegate.verifier(text); DROP SCHEMA tidegate").expect("ok");
    cluster.sql_in(APP, recipe()).expect("it is mended");
    for port in [gate.session, gate.transaction] {
        assert!(try_log_in(port, "bob", "bobs").is_ok());
        // One whose password was stored before SCRAM cannot be let in.
        let error = try_log_in(port, "old", "x").err().expect("md5 is not spoken");
        assert!(words(&error).contains("TG021"), "{}", words(&error));
    }
}

#[test]
fn look_ups_survive_a_restart_of_postgresql() {
    let mut cluster = upstream(ClusterOptions::default());
    role(&cluster, "bob", "bobs");
    let mut gate = gate(&cluster, "", &["auth.query_cache=0s"]);
    gate.allow("a server").allow("census").allow("can't look up a user");
    assert!(try_log_in(gate.session, "bob", "bobs").is_ok());
    cluster.stop(StopMode::Fast).expect("it stops");
    let error = try_log_in(gate.session, "bob", "bobs").err().expect("nobody can be asked");
    assert!(words(&error).contains("could not look up the user"), "{}", words(&error));
    cluster.start_again().expect("it starts");
    for port in [gate.session, gate.transaction] {
        wait::until("he is let in again", || {
            let mut raw = try_log_in(port, "bob", "bobs").ok()?;
            (raw.value("SELECT current_user") == "bob").then_some(())
        });
    }
}

#[test]
fn a_burst_of_logins_of_one_user_is_one_look_up() {
    let options = ClusterOptions::default().setting("track_functions", "all");
    let cluster = upstream(options);
    role(&cluster, "bob", "bobs");
    // Whoever works reports what was called once a second, who is idle after ten.
    let gate = gate(&cluster, "", &["upstream.census=100ms"]);
    let mut clients: Vec<_> = (0..200)
        .map(|number| {
            let port = if number % 2 == 0 { gate.session } else { gate.transaction };
            let mut raw = Raw::connect(port);
            raw.start(&[("user", "bob"), ("database", APP)]);
            raw
        })
        .collect();
    for raw in &mut clients {
        let question = raw.next().expect("a question");
        assert_eq!(question.tag, b'R', "it is asked for its password");
    }
    calls(&cluster, "1");
    drop(clients);
    let mut bob = try_log_in(gate.session, "bob", "bobs").expect("he is let in");
    assert_eq!(bob.value("SELECT current_user"), "bob");
    assert_eq!(
        try_log_in(gate.session, "nobody", "x").err().map(|e| e.sqlstate()),
        Some("28P01".into())
    );
    calls(&cluster, "2");
}
