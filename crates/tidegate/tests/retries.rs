//! Servers that die, as clients see it: what is sent again, what never is, and what is in doubt.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tidegate_scratch::{ClusterOptions, StopMode};
use tidegate_testkit::batch::{Batch, Format};
use tidegate_testkit::gate::Gate;
use tidegate_testkit::processes;
use tidegate_testkit::raw::{Frame, Raw};
use tidegate_testkit::scene::{APP, ONE_SERVER, Scene, cluster};
use tidegate_testkit::wait;
use tidegate_wire::backend::{self, Report, Severity, TransactionStatus};
use tidegate_wire::sqlstate::SqlState;

const BINARY: &str = env!("CARGO_BIN_EXE_tidegate");
const HBA: &str = "local all all trust\nhost all all 127.0.0.1/32 trust\n";

/// Retries as quick as a test wants them.
const QUICK: &str = "[retry]\nmultiplier = \"100ms\"\nmin = \"100ms\"\nmax = \"300ms\"\n";

fn scene(settings: &str) -> Scene {
    scene_with(options(), settings, &[])
}

/// Of what was committed nothing is lost in a crash.
fn options() -> ClusterOptions {
    ClusterOptions::default().hba(HBA).setting("synchronous_commit", "local")
}

fn scene_with(options: ClusterOptions, settings: &str, flags: &[&str]) -> Scene {
    let cluster = cluster(options);
    let url = format!("postgres://{APP}@127.0.0.1:{}/{APP}", cluster.port());
    let mut scene = Scene::with(BINARY, cluster, &url, settings, flags);
    allow_outage(&mut scene.gate);
    scene.client(scene.cluster.port()).run("CREATE TABLE ledger (line text)");
    scene
}

fn allow_outage(gate: &mut Gate) {
    gate.allow("can't open a server").allow("the census can't connect");
    gate.allow("the census lost its connection");
}

/// What PostgreSQL itself says, on a connection of its own: that of the scene may be lost.
fn ask(scene: &Scene, sql: &str) -> String {
    Raw::log_in(scene.cluster.port(), "postgres", "postgres", APP).value(sql)
}

/// How many lines there are with this text.
fn lines(scene: &Scene, line: &str) -> String {
    ask(scene, &format!("SELECT count(*) FROM ledger WHERE line = '{line}'"))
}

fn terminate(scene: &Scene, pid: &str) {
    assert_eq!(scene.look(&format!("SELECT pg_terminate_backend({pid})")), "t");
    scene.until(&format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}"), "0");
}

/// The pid of the application's only backend.
fn only_backend(scene: &Scene) -> String {
    scene.look(
        "SELECT pid FROM pg_stat_activity \
         WHERE usename = 'app' AND application_name <> 'tidegate census'",
    )
}

/// The gate stands still while a backend ends and somebody speaks: it learns of both at once.
fn at_once(scene: &Scene, pid: &str, speak: impl FnOnce()) {
    processes::signal(scene.gate.pid(), "STOP");
    terminate(scene, pid);
    speak();
    processes::signal(scene.gate.pid(), "CONT");
}

/// The error that ends a connection: severity, SQLSTATE, message, DETAIL, HINT.
fn last_words(raw: &mut Raw) -> [String; 5] {
    let frames = raw.until_end();
    let error = frames.iter().rfind(|frame| frame.tag == b'E');
    let error = error.unwrap_or_else(|| panic!("no error in {frames:?}"));
    [b'S', b'C', b'M', b'D', b'H'].map(|field| error.field(field))
}

#[track_caller]
fn assert_in_doubt(words: &[String; 5]) {
    let [severity, code, message, detail, hint] = words;
    assert_eq!((severity.as_str(), code.as_str()), ("FATAL", "08007"), "{words:?}");
    assert_eq!(message, "it is not known whether the transaction was committed");
    assert!(detail.starts_with("COMMIT was sent to upstream"), "{detail}");
    assert!(detail.contains("Tidegate has not sent it again, and will not."), "{detail}");
    assert!(hint.contains("pg_xact_status") && hint.ends_with("(TG032)"), "{hint}");
}

fn metric(scene: &Scene, name: &str, labels: &[&str]) -> f64 {
    scene.gate.metric(name, labels)
}

// --- Nothing was sent. ---

/// The gate stands still while its server ends and its client speaks: it learns of both at once.
#[test]
fn what_is_said_while_the_idle_server_ends_is_carried_out_once() {
    let scene = scene(ONE_SERVER);
    for round in 0..20 {
        for (name, port) in ["session", "transaction"].into_iter().zip(scene.ports()) {
            let line = format!("{name} {round}");
            let mut client = scene.client(port);
            let pid = only_backend(&scene);
            at_once(&scene, &pid, || {
                client.query(&format!("INSERT INTO ledger VALUES ('{line}')"))
            });
            assert_eq!(client.tags(), "CZI", "{line}");
            assert_eq!(lines(&scene, &line), "1");
            client.leave();
            // The session port's server is reset.
            scene.until_metric("tidegate_server_connections", &["\"idle\""], 1.0);
        }
    }
}

#[test]
fn with_several_workers_too() {
    let scene = scene_with(options(), ONE_SERVER, &["listen.workers=3"]);
    let mut clients: Vec<_> = (0..6).map(|_| scene.client(scene.gate.transaction)).collect();
    for round in 0..10 {
        for (place, client) in clients.iter_mut().enumerate() {
            let line = format!("{place} {round}");
            scene.until_metric("tidegate_server_connections", &["\"idle\""], 1.0);
            let pid = only_backend(&scene);
            at_once(&scene, &pid, || {
                client.query(&format!("INSERT INTO ledger VALUES ('{line}')"))
            });
            assert_eq!(client.tags(), "CZI", "{line}");
            assert_eq!(lines(&scene, &line), "1");
        }
    }
}

#[test]
fn a_restart_between_two_statements_is_a_wait() {
    let mut scene = scene(QUICK);
    let mut fresh = scene.client(scene.gate.session);
    let mut old = scene.client(scene.gate.transaction);
    old.run("INSERT INTO ledger VALUES ('before')");
    for (round, mode) in [StopMode::Fast, StopMode::Immediate].into_iter().enumerate() {
        scene.cluster.restart(mode).expect("it restarts");
        let line = format!("after {round}");
        for client in [&mut fresh, &mut old] {
            client.run(&format!("INSERT INTO ledger VALUES ('{line}')"));
        }
        assert_eq!(lines(&scene, &line), "2", "{mode:?}");
        fresh.leave();
        fresh = scene.client(scene.gate.session);
    }
}

#[test]
fn a_begin_that_the_gate_has_answered_goes_with_its_first_batch() {
    let scene = scene(ONE_SERVER);
    let mut client = scene.client(scene.gate.transaction);
    let pid = client.backend();
    client.run("BEGIN");
    let batch = Batch::new()
        .extended("INSERT INTO ledger VALUES ('begun')", &[], Format::Text)
        .sync()
        .query("ROLLBACK");
    at_once(&scene, &pid, || client.send(batch.bytes()));
    assert_eq!([client.tags(), client.tags()], ["12nCZT", "CZI"]);
    assert_eq!(lines(&scene, "begun"), "0");
}

/// What is behind the server in the kernel is read before anything is written to it.
#[test]
fn a_client_that_has_a_server_hears_of_its_end_before_anything_is_sent() {
    let scene = scene(ONE_SERVER);
    let mut client = scene.client(scene.gate.session);
    let pid = client.backend();
    at_once(&scene, &pid, || client.query("INSERT INTO ledger VALUES ('never')"));
    let [severity, code, message, ..] = last_words(&mut client);
    assert_eq!([&*severity, &*code], ["FATAL", "57P01"]);
    assert_eq!(message, "terminating connection due to administrator command");
    assert_eq!(lines(&scene, "never"), "0");

    // A transaction, too, whose server says nothing.
    let mut scene = self::scene(QUICK);
    let mut client = scene.client(scene.gate.transaction);
    client.begin();
    client.run("INSERT INTO ledger VALUES ('never')");
    processes::signal(only_backend(&scene), "KILL");
    let words = last_words(&mut client);
    assert_eq!((words[0].as_str(), words[1].as_str()), ("FATAL", "08006"), "{words:?}");
    assert!(words[3].contains("the transaction that was open is rolled back"), "{words:?}");
    assert!(words[4].ends_with("(TG013)"), "{words:?}");
    scene.cluster.restart(StopMode::Fast).expect("it restarts");
    assert_eq!(lines(&scene, "never"), "0");
}

#[test]
fn a_statement_whose_answer_was_lost_is_told_to_have_been_sent() {
    let scene = scene(QUICK);
    for port in scene.ports() {
        let mut client = scene.client(port);
        client.query("INSERT INTO ledger SELECT 'lost' FROM pg_sleep(100)");
        wait::until("it runs", || {
            let running = ask(
                &scene,
                "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' \
                 AND state = 'active' AND query LIKE 'INSERT%'",
            );
            (running == "1").then_some(())
        });
        let sql = "SELECT pid FROM pg_stat_activity WHERE usename = 'app' AND query LIKE 'INSERT%'";
        processes::signal(ask(&scene, sql), "KILL");
        let words = last_words(&mut client);
        assert_eq!((words[0].as_str(), words[1].as_str()), ("FATAL", "08006"), "{words:?}");
        assert!(words[3].starts_with("The statement was sent; it may or may not"), "{words:?}");
        // PostgreSQL starts again meanwhile; through the gate that is a wait.
        let mut next = scene.client(port);
        assert_eq!(next.value("SELECT count(*) FROM ledger"), "0");
        next.leave();
    }
}

// --- Refused dials. ---

/// Refuses so many connections with this code, and passes the others on. Gives its port, and how
/// many have come.
fn refusing(to: u16, refusals: usize, code: &'static str) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("it has an address").port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            if counted.fetch_add(1, Ordering::SeqCst) < refusals {
                let mut error = Vec::new();
                let report = Report {
                    severity: Severity::Fatal,
                    sqlstate: SqlState::from_bytes(code.as_bytes()).expect("a code"),
                    message: "not now",
                    detail: None,
                    hint: None,
                };
                report.encode_error(&mut error);
                let _ = client.read(&mut [0; 1024]);
                let _ = client.write_all(&error);
                let _ = client.shutdown(Shutdown::Write);
                continue;
            }
            let server = TcpStream::connect(("127.0.0.1", to)).expect("PostgreSQL listens");
            for (mut from, mut to) in [(&client, &server), (&server, &client)]
                .map(|(from, to)| (from.try_clone().expect("one"), to.try_clone().expect("two")))
            {
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    (port, count)
}

#[test]
fn a_client_waits_while_dials_are_refused_with_what_will_pass() {
    for code in ["57P03", "53300"] {
        let cluster = cluster(ClusterOptions::default().hba(HBA));
        let (port, dials) = refusing(cluster.port(), 3, code);
        let url = format!("postgres://{APP}@127.0.0.1:{port}/{APP}?sslmode=disable");
        let flags = ["upstream.census=off"];
        let mut scene = Scene::with(BINARY, cluster, &url, QUICK, &flags);
        allow_outage(&mut scene.gate);
        for port in scene.ports() {
            assert_eq!(scene.client(port).value("SELECT 42"), "42", "{code}");
        }
        assert!(dials.load(Ordering::SeqCst) >= 4, "{code}: each refusal was followed by a dial");
    }
}

/// Lets everybody log in and hangs up at the first query. Gives its port, and how many have logged
/// in.
fn dying() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("it has an address").port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let mut welcome = b"R\0\0\0\x08\0\0\0\0".to_vec();
            backend::push_backend_key_data(&mut welcome, 7, &[0; 4]);
            backend::push_ready(&mut welcome, TransactionStatus::Idle);
            let _ = client.read(&mut [0; 1024]);
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = client.write_all(&welcome);
            thread::spawn(move || client.read(&mut [0; 1024]));
        }
    });
    (port, count)
}

/// What was not sent goes to another server, but not for ever: a hundred times for nothing is
/// enough.
#[test]
fn servers_that_die_as_fast_as_they_are_opened_are_told_and_not_hammered() {
    let (port, logins) = dying();
    let url = format!("postgres://{APP}@127.0.0.1:{port}/{APP}?sslmode=disable");
    let settings = format!("[pool]\npool_pre_ping = \"always\"\n{QUICK}");
    let flags = ["upstream.census=off", "upstream.kind=direct"];
    let gate = Gate::start(BINARY, &url, &settings, &flags);
    let login = [("user", APP), ("database", APP)];
    let refused = Raw::connect(gate.session).try_log_in(&login, "").expect_err("nobody answers");
    assert_eq!((refused.field(b'S'), refused.sqlstate()), ("FATAL".into(), "08006".into()));
    let detail = refused.field(b'D');
    assert!(detail.starts_with("The statement was not sent."), "{detail}");
    assert!(detail.ends_with("servers are lost as fast as they are opened."), "{detail}");
    assert!(refused.field(b'H').ends_with("(TG013)"), "{refused:?}");
    let count = logins.load(Ordering::SeqCst);
    assert!((101..=110).contains(&count), "{count} logins for nothing");
    let resent = gate.metric("tidegate_resent_total", &["reason=\"unsent\"", "session"]);
    assert_eq!(resent, 100.0);
    assert_eq!(gate.metric("tidegate_resends_refused_total", &["session"]), 1.0);
}

// --- Commits in doubt. ---

/// COMMIT waits for a standby that is not there, after it has committed here: who is terminated
/// meanwhile has committed, and is told so by a warning, and nothing else.
fn unanswered(settings: &str) -> Scene {
    let options = options()
        .setting("wal_level", "replica")
        .setting("max_wal_senders", "1")
        .setting("synchronous_standby_names", "nobody")
        .setting("max_prepared_transactions", "10");
    scene_with(options, &format!("{QUICK}{settings}"), &[])
}

const WAITS: &str = "SELECT coalesce(max(pid), 0) FROM pg_stat_activity \
                     WHERE usename = 'app' AND wait_event = 'SyncRep'";

/// Ends the backend that waits for the standby.
fn terminate_committing(scene: &Scene) {
    let pid = wait::until("a commit waits", || Some(scene.look(WAITS)).filter(|pid| pid != "0"));
    terminate(scene, &pid);
}

#[test]
fn a_commit_whose_answer_was_lost_is_in_doubt_and_can_be_looked_up() {
    let scene = unanswered("");
    let forms: [(&str, Batch); 4] = [
        ("simple", Batch::new().query("COMMIT")),
        ("another word", Batch::new().query(" /* the end */ end work;")),
        ("last of several", Batch::new().query("INSERT INTO ledger VALUES ('more'); COMMIT")),
        ("extended", Batch::new().extended("commit", &[], Format::Text).sync()),
    ];
    for (name, port) in ["session", "transaction"].into_iter().zip(scene.ports()) {
        for (form, batch) in &forms {
            let line = format!("{name} {form}");
            let mut client = scene.client(port);
            client.begin();
            client.run("SET LOCAL synchronous_commit = 'on'");
            client.run(&format!("INSERT INTO ledger VALUES ('{line}')"));
            let id = client.value("SELECT pg_current_xact_id_if_assigned()");
            client.send(batch.bytes());
            terminate_committing(&scene);
            assert_in_doubt(&last_words(&mut client));
            // As the HINT says.
            let mut next = scene.client(port);
            assert_eq!(
                next.value(&format!("SELECT pg_xact_status('{id}')")),
                "committed",
                "{line}"
            );
            next.leave();
            assert_eq!(lines(&scene, &line), "1", "it was carried out, and once");
        }
        let labels = [format!("listener=\"{name}\"")];
        assert_eq!(metric(&scene, "tidegate_commits_in_doubt_total", &[&labels[0]]), 4.0);
    }
}

#[test]
fn both_halves_of_a_two_phase_commit_may_be_in_doubt() {
    let scene = unanswered("");
    for port in scene.ports() {
        let mut client = scene.client(port);
        client.begin();
        client.run("SET LOCAL synchronous_commit = 'on'");
        client.run("INSERT INTO ledger VALUES ('two phases')");
        client.query(&format!("PREPARE TRANSACTION 'p{port}'"));
        terminate_committing(&scene);
        assert_in_doubt(&last_words(&mut client));
        let prepared = format!("SELECT count(*) FROM pg_prepared_xacts WHERE gid = 'p{port}'");
        assert_eq!(scene.look(&prepared), "1");

        let mut client = scene.client(port);
        client.run("SET synchronous_commit = 'on'");
        client.query(&format!("COMMIT PREPARED 'p{port}'"));
        terminate_committing(&scene);
        assert_in_doubt(&last_words(&mut client));
        assert_eq!(scene.look(&prepared), "0");
    }
    assert_eq!(lines(&scene, "two phases"), "2");
}

/// A commit that has not taken place is in doubt as well, as nobody but PostgreSQL knows: its own
/// last words are in the DETAIL.
#[test]
fn last_words_in_place_of_a_commit_are_told_as_a_doubt() {
    let scene = scene(QUICK);
    scene.client(scene.cluster.port()).run(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM pg_sleep(100); RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON ledger \
         DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    let sql = "SELECT coalesce(max(pid), 0) FROM pg_stat_activity \
               WHERE usename = 'app' AND wait_event = 'PgSleep'";
    for port in scene.ports() {
        for (batch, answered) in [
            (Batch::new().query("COMMIT"), ""),
            (Batch::new().extended("COMMIT", &[], Format::Text).sync(), "12n"),
        ] {
            let mut client = scene.client(port);
            client.begin();
            client.run("INSERT INTO ledger VALUES ('undone')");
            let id = client.value("SELECT pg_current_xact_id_if_assigned()");
            client.send(batch.bytes());
            let pid = wait::until("it commits", || Some(scene.look(sql)).filter(|pid| pid != "0"));
            terminate(&scene, &pid);
            let frames = client.until_end();
            let tags: String = frames.iter().map(|frame| char::from(frame.tag)).collect();
            assert_eq!(tags, format!("{answered}E"), "one error, and what came before it");
            let error = frames.last().expect("an error");
            let fields = [b'S', b'C', b'M', b'D', b'H'].map(|field| error.field(field));
            assert_in_doubt(&fields);
            let cause = "Cause: terminating connection due to administrator command.";
            assert!(fields[3].ends_with(cause), "{fields:?}");
            let mut next = scene.client(port);
            assert_eq!(next.value(&format!("SELECT pg_xact_status('{id}')")), "aborted");
            next.leave();
        }
    }
    assert_eq!(lines(&scene, "undone"), "0");
}

#[test]
fn a_commit_under_way_when_the_gate_gives_up_is_in_doubt() {
    let mut scene = unanswered("[timeouts]\ndrain = \"500ms\"\n");
    let mut clients: Vec<_> = scene.ports().into_iter().map(|port| scene.client(port)).collect();
    for client in &mut clients {
        client.begin();
        client.run("SET LOCAL synchronous_commit = 'on'");
        client.run("INSERT INTO ledger VALUES ('drained')");
        client.query("COMMIT");
    }
    scene.until(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND wait_event = 'SyncRep'",
        "2",
    );
    scene.gate.signal("TERM");
    for client in &mut clients {
        assert_in_doubt(&last_words(client));
    }
    assert_eq!(scene.gate.wait(), Some(0));
    assert_eq!(lines(&scene, "drained"), "2");
}

// --- Reads that are sent again. ---

fn reading() -> Scene {
    let scene = scene(&format!("{QUICK}read_only = true\n"));
    scene.client(scene.cluster.port()).run(
        "CREATE FUNCTION slow(text) RETURNS text LANGUAGE plpgsql VOLATILE AS \
         $$ BEGIN PERFORM pg_sleep(2); RETURN $1; END $$",
    );
    scene
}

/// Ends the backend that runs this, as soon as it does.
fn terminate_running(scene: &Scene, words: &str) {
    let sql = format!(
        "SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE usename = 'app' \
         AND state = 'active' AND wait_event = 'PgSleep' AND query LIKE '%{words}%'"
    );
    let pid = wait::until("it runs", || Some(scene.look(&sql)).filter(|pid| pid != "0"));
    terminate(scene, &pid);
}

fn value_in(frames: &[Frame]) -> String {
    let row = frames.iter().find(|frame| frame.tag == b'D');
    let row = row.unwrap_or_else(|| panic!("no row in {frames:?}"));
    String::from_utf8_lossy(&row.body[6..]).into_owned()
}

#[test]
fn a_read_is_sent_again_once_where_it_is_asked_for() {
    let scene = reading();
    for (name, port) in ["session", "transaction"].into_iter().zip(scene.ports()) {
        let simple = Batch::new().query("SELECT slow('again')");
        let extended = Batch::new().extended("SELECT slow($1)", &[Some(b"again")], Format::Text);
        for batch in [simple, extended.sync()] {
            let mut client = scene.client(port);
            client.send(batch.bytes());
            terminate_running(&scene, "slow(");
            let frames = client.until_ready();
            assert_eq!(value_in(&frames), "again", "{name}");
            assert!(frames.iter().all(|frame| frame.tag != b'E'), "{frames:?}");
            client.leave();

            // Twice it is not.
            let mut client = scene.client(port);
            client.send(batch.bytes());
            terminate_running(&scene, "slow(");
            terminate_running(&scene, "slow(");
            assert_eq!(last_words(&mut client)[1], "57P01", "{name}");
        }
        let labels = [format!("listener=\"{name}\""), "reason=\"read_only\"".into()];
        let resent = metric(&scene, "tidegate_resent_total", &[&labels[0], &labels[1]]);
        assert_eq!(resent, 4.0, "{name}");
    }
}

#[test]
fn a_named_statement_is_prepared_again_where_it_is_sent_again() {
    let scene = reading();
    let mut client = scene.client(scene.gate.transaction);
    let prepare = Batch::new().parse("s", "SELECT slow($1)").describe_statement("s").sync();
    client.exchange(&prepare, 1);
    let batch = Batch::new().bind("s", &[Some(b"named")], Format::Text).execute(0).sync();
    client.send(batch.bytes());
    terminate_running(&scene, "slow(");
    let frames = client.until_ready();
    assert_eq!(value_in(&frames), "named");
    let tags: String = frames.iter().map(|frame| char::from(frame.tag)).collect();
    assert_eq!(tags, "2DCZ");
}

#[test]
fn what_may_have_been_told_or_may_write_is_never_sent_again() {
    let scene = reading();
    let begun = |client: &mut Raw| client.begin();
    let pinned = |client: &mut Raw| client.run("CREATE TEMP TABLE own (a int)");
    let nothing = |_: &mut Raw| ();
    type Before = fn(&mut Raw);
    let cases: [(&str, Before, &str); 6] = [
        ("it writes", nothing, "INSERT INTO ledger SELECT slow('never')"),
        ("it locks", nothing, "SELECT slow('never') FROM ledger FOR UPDATE"),
        ("two statements", nothing, "SELECT slow('never'); SELECT 1"),
        ("another may write", nothing, "WITH a AS (SELECT slow('never')) SELECT * FROM a"),
        ("a transaction", begun, "SELECT slow('never')"),
        ("left something", pinned, "SELECT slow('never')"),
    ];
    scene.client(scene.cluster.port()).run("INSERT INTO ledger VALUES ('a line')");
    for (name, port) in ["session", "transaction"].into_iter().zip(scene.ports()) {
        for (why, before, sql) in cases {
            let mut client = scene.client(port);
            before(&mut client);
            client.query(sql);
            terminate_running(&scene, "slow(");
            assert_eq!(last_words(&mut client)[1], "57P01", "{name}: {why}");
        }
        // Part of the answer has come: 8 kB of rows, which is what PostgreSQL sends at once.
        let mut client = scene.client(port);
        client.query(
            "SELECT repeat('x', 5000) FROM generate_series(1, 4) UNION ALL SELECT slow('y')",
        );
        terminate_running(&scene, "slow(");
        let frames = client.until_end();
        assert_eq!(frames.first().map(|frame| frame.tag), Some(b'T'), "{name}");
        assert_eq!(frames.last().expect("an error").sqlstate(), "57P01", "{name}");
    }
    assert_eq!(lines(&scene, "never"), "0");
    assert_eq!(metric(&scene, "tidegate_resent_total", &["reason=\"read_only\""]), 0.0);
}

#[test]
fn without_being_asked_for_nothing_that_was_sent_is_sent_again() {
    let scene = scene(QUICK);
    for port in scene.ports() {
        let mut client = scene.client(port);
        client.query("SELECT 1 FROM pg_sleep(100)");
        terminate_running(&scene, "pg_sleep(100)");
        assert_eq!(last_words(&mut client)[1], "57P01");
    }
    assert_eq!(metric(&scene, "tidegate_resent_total", &["reason=\"read_only\""]), 0.0);
}
