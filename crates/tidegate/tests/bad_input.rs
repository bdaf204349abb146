//! Whatever a peer sends or leaves out: it is told what is wrong where it can be told, costs
//! nobody a server for longer than a moment, and is counted by its reason.

use std::net::Shutdown;
use std::time::Duration;

use tidegate_scratch::ClusterOptions;
use tidegate_testkit::batch::{Batch, Format};
use tidegate_testkit::raw::{Frame, Raw};
use tidegate_testkit::scene::{self, APP, ONE_SERVER, Scene};
use tidegate_testkit::wait;
use tidegate_wire::frontend::SaslInitial;

const GATE: &str = env!("CARGO_BIN_EXE_tidegate");
const REJECTED: &str = "tidegate_client_connections_rejected_total";
const CLOSED: &str = "tidegate_client_connections_closed_total";
/// An answer that nothing holds back comes within this, on a busy machine, too.
const AT_ONCE: Duration = Duration::from_millis(900);

fn scene(settings: &str) -> Scene {
    Scene::start(GATE, settings, &[])
}

/// A gate whose clients need a password.
fn scene_with_password(flags: &[&str]) -> Scene {
    let cluster = scene::cluster(ClusterOptions::default());
    cluster.sql("ALTER ROLE postgres PASSWORD 'postgres'").expect("a password");
    let url = cluster.url(APP, "secret", APP);
    Scene::with(GATE, cluster, &url, "plan = \"free\"", flags)
}

/// A first packet: its length, then `body`.
fn packet(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("it is short");
    [&length.to_be_bytes(), body].concat()
}

/// A startup packet of this protocol whose parameters are these bytes.
fn startup(major: u16, minor: u16, parameters: &[u8]) -> Vec<u8> {
    packet(&[&major.to_be_bytes(), &minor.to_be_bytes(), parameters].concat())
}

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const GSSENC_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];

/// The one error before the end of the connection.
fn last_words(raw: &mut Raw) -> Frame {
    let mut frames = raw.until_end();
    let last = frames.pop().expect("it is told why");
    assert_eq!(last.tag, b'E', "{last:?}");
    assert_eq!(last.field(b'S'), "FATAL");
    last
}

fn code(error: &Frame) -> String {
    let hint = error.field(b'H');
    let code = hint.rsplit_once('(').map_or("", |(_, code)| code.trim_end_matches(')'));
    format!("{} {code}", error.sqlstate())
}

// --- The first packet. ---

#[test]
fn what_is_no_startup_packet_is_refused_in_words() {
    let scene = scene("plan = \"free\"");
    let user = b"user\0app\0database\0app\0\0";
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("http", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), "08P01 TG007"),
        ("tls", [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 500]].concat(), "08P01 TG007"),
        ("ssh", b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), "08P01 TG007"),
        ("zeros", vec![0; 64], "08P01 TG007"),
        ("ones", vec![0xff; 64], "08P01 TG007"),
        ("too short", vec![0, 0, 0, 7, 0, 3, 0], "08P01 TG007"),
        ("too long", [&10_005_u32.to_be_bytes()[..], &[0, 3, 0, 0]].concat(), "08P01 TG007"),
        ("giant", [&0x7fff_ffff_u32.to_be_bytes()[..], &[0, 3, 0, 0]].concat(), "08P01 TG007"),
        ("negative", [&0x8000_0000_u32.to_be_bytes()[..], &[0, 3, 0, 0]].concat(), "08P01 TG007"),
        ("no parameters", startup(3, 0, b""), "08P01 TG007"),
        ("no user", startup(3, 0, b"database\0app\0\0"), "08P01 TG007"),
        ("an empty user", startup(3, 0, b"user\0\0\0"), "08P01 TG007"),
        ("no terminator", startup(3, 0, b"user\0app\0"), "08P01 TG007"),
        ("no zero at all", startup(3, 0, b"user"), "08P01 TG007"),
        ("a name without a value", startup(3, 0, b"user\0app\0database\0\0"), "08P01 TG007"),
        ("words after the end", startup(3, 0, b"user\0app\0\0more\0"), "08P01 TG007"),
        ("a long SSL request", packet(&[0x04, 0xd2, 0x16, 0x2f, 0]), "08P01 TG007"),
        ("a short cancel", packet(&[0x04, 0xd2, 0x16, 0x2e, 0, 0, 0, 1, 1, 2, 3]), "08P01 TG007"),
        ("protocol 2", startup(2, 0, user), "0A000 TG008"),
        ("protocol 4", startup(4, 0, user), "0A000 TG008"),
        ("protocol 0", startup(0, 0, user), "0A000 TG008"),
        ("protocol 1234.5682", startup(1234, 5682, user), "0A000 TG008"),
        ("bad options", startup(3, 0, b"user\0app\0options\0-X\0\0"), "22023 TG018"),
        ("a name in no encoding", startup(3, 0, b"user\0app\0x\0\xff\0\0"), "22023 TG018"),
    ];
    for port in scene.ports() {
        for (name, bytes, expected) in &cases {
            let mut raw = Raw::connect(port);
            raw.send(bytes);
            assert_eq!(code(&last_words(&mut raw)), *expected, "{name}");
        }
        assert_eq!(scene.client(port).value("SELECT 1"), "1", "others are served");
    }
    scene.until_metric(REJECTED, &["startup"], 2.0 * cases.len() as f64);
}

#[test]
fn a_first_packet_that_is_cut_short_ends_without_a_word() {
    let scene = scene("plan = \"free\"");
    let whole = startup(3, 0, b"user\0app\0\0");
    for port in scene.ports() {
        for bytes in [0, 1, 3, 4, 7, whole.len() - 1] {
            let mut raw = Raw::connect(port);
            raw.send(&whole[..bytes]);
            raw.shut_down();
            assert_eq!(raw.byte(), None, "after {bytes} bytes");
        }
        assert_eq!(scene.client(port).value("SELECT 1"), "1");
    }
}

#[test]
fn newer_minor_versions_and_options_are_negotiated_down() {
    let scene = scene("plan = \"free\"");
    let told = |version: (u16, u16), parameters: &[u8]| {
        let mut raw = Raw::connect(scene.gate.transaction);
        raw.send(&startup(version.0, version.1, parameters));
        let frames = raw.until_ready();
        assert_eq!(frames.last().map(|frame| frame.tag), Some(b'Z'), "{frames:?}");
        assert_eq!(raw.value("SELECT 1"), "1");
        frames.into_iter().find(|frame| frame.tag == b'v').map(|frame| frame.body)
    };
    let user = b"user\0app\0\0";
    assert_eq!(told((3, 0), user), None);
    assert_eq!(told((3, 2), user), None);
    assert_eq!(told((3, 9999), user), Some(vec![0, 3, 0, 2, 0, 0, 0, 0]));
    let option = b"user\0app\0_pq_.magic\0on\0\0";
    let expected = [&[0, 3, 0, 0, 0, 0, 0, 1][..], b"_pq_.magic\0"].concat();
    assert_eq!(told((3, 0), option), Some(expected));
}

#[test]
fn encryption_is_declined_once_and_refused_twice() {
    let scene = scene("plan = \"free\"");
    let (ssl, gss) = (SSL_REQUEST, GSSENC_REQUEST);
    for port in scene.ports() {
        for requests in [vec![ssl], vec![gss], vec![ssl, gss], vec![gss, ssl]] {
            let mut raw = Raw::connect(port);
            for request in &requests {
                raw.send(request);
                assert_eq!(raw.byte(), Some(b'N'));
            }
            raw.try_log_in(&[("user", APP), ("database", APP)], "").expect("a login");
            assert_eq!(raw.value("SELECT 1"), "1");
        }
        for requests in [vec![ssl, ssl], vec![gss, gss], vec![ssl, gss, ssl], vec![gss, ssl, gss]] {
            let mut raw = Raw::connect(port);
            let (last, first) = requests.split_last().expect("some");
            for request in first {
                raw.send(request);
                assert_eq!(raw.byte(), Some(b'N'));
            }
            raw.send(last);
            assert_eq!(code(&last_words(&mut raw)), "08P01 TG007");
        }
    }
}

#[test]
fn a_login_may_come_in_single_bytes_and_with_what_follows_it() {
    let scene = scene_with_password(&[]);
    let nothing = Scene::start(GATE, "plan = \"free\"", &[]);
    for gate in [&nothing, &scene] {
        let mut raw = Raw::connect(gate.gate.transaction);
        for byte in SSL_REQUEST {
            raw.send(&[byte]);
        }
        assert_eq!(raw.byte(), Some(b'N'));
        for byte in startup(3, 0, b"user\0app\0database\0app\0\0") {
            raw.send(&[byte]);
        }
        assert_eq!(raw.next().map(|frame| frame.tag), Some(b'R'));
    }
    // What needs no password needs no answer, either: the first query may come along. The second
    // round finds the gate knowing what to tell these clients.
    for _ in 0..2 {
        for port in nothing.ports() {
            let mut raw = Raw::connect(port);
            let first = startup(3, 0, b"user\0app\0TimeZone\0Asia/Tokyo\0\0");
            let queries = Batch::new().query("SHOW TimeZone").query("SELECT 2").terminate();
            raw.send(&[&first, &queries.bytes()[..20]].concat());
            raw.send(&queries.bytes()[20..queries.bytes().len() - 5]);
            assert_eq!(raw.until_ready().last().map(|frame| frame.tag), Some(b'Z'));
            let frames = raw.until_ready();
            assert!(frames.iter().any(|frame| frame.body.ends_with(b"Asia/Tokyo")), "{frames:?}");
            assert_eq!(raw.tags(), "TDCZI");
        }
    }
}

#[test]
fn replication_is_not_offered() {
    let scene = scene("plan = \"free\"");
    for port in scene.ports() {
        for value in ["true", "on", "1", "yes", "database", "TRUE", "nonsense"] {
            let mut raw = Raw::connect(port);
            let parameters = [("user", APP), ("database", APP), ("replication", value)];
            let error = raw.try_log_in(&parameters, "").expect_err("it is refused");
            assert_eq!(code(&error), "0A000 TG010", "{value}");
            assert_eq!(raw.next(), None);
        }
        let mut raw = scene.client_with(port, &[("replication", "false")]);
        assert_eq!(raw.value("SELECT 1"), "1");
    }
    scene.until_metric(REJECTED, &["not_offered"], 14.0);
}

// --- Passwords. ---

fn refused(port: u16, user: &str, password: &str) -> Frame {
    let mut raw = Raw::connect(port);
    let error = raw.try_log_in(&[("user", user), ("database", APP)], password);
    let error = error.expect_err("it is refused");
    assert_eq!(raw.next(), None, "the connection ends");
    error
}

/// What the gate asks of a user: salt and iterations, and the nonce.
fn challenge(port: u16, user: &str) -> (String, String) {
    let mut raw = Raw::connect(port);
    raw.start(&[("user", user), ("database", APP)]);
    let methods = raw.next().expect("a question");
    assert_eq!(methods.body, [&[0, 0, 0, 10][..], b"SCRAM-SHA-256\0\0"].concat());
    let mut out = Vec::new();
    let response = Some(&b"n,,n=,r=abcdefghijklmnopqrstuvwx"[..]);
    let initial = SaslInitial { mechanism: b"SCRAM-SHA-256", response };
    initial.encode(&mut out).expect("it is short");
    raw.send(&out);
    let frame = raw.next().expect("a challenge");
    let text = String::from_utf8(frame.body[4..].to_vec()).expect("text");
    let (nonce, rest) = text.split_once(",s=").expect("a salt");
    (rest.to_owned(), nonce.to_owned())
}

#[test]
fn nobody_learns_which_users_exist() {
    let scene = scene_with_password(&[]);
    for port in scene.ports() {
        let wrong = refused(port, APP, "guess");
        let unknown = refused(port, "ape", "guess");
        assert_eq!(code(&wrong), "28P01 TG006");
        let words = String::from_utf8(unknown.body).expect("text");
        assert_eq!(words.replace("\"ape\"", "\"app\"").into_bytes(), wrong.body);
        let (known, first_nonce) = challenge(port, APP);
        let (again, second_nonce) = challenge(port, APP);
        assert_eq!(known, again, "the salt of a user stays");
        assert_ne!(first_nonce, second_nonce);
        let (unknown, _) = challenge(port, "ape");
        assert_eq!(unknown, challenge(port, "ape").0, "and that of nobody, too");
        assert_ne!(unknown, challenge(port, "apf").0);
        let form = |text: &str| text.split_once(',').map(|(s, i)| (s.len(), i.to_owned()));
        assert_eq!(form(&unknown), form(&known), "they look alike");
    }
    scene.until_metric(REJECTED, &["\"auth\""], 4.0);
}

#[test]
fn whoever_guesses_waits_and_whoever_knows_does_not() {
    let scene = scene_with_password(&[]);
    let port = scene.gate.transaction;
    let log_in = || Raw::log_in(port, APP, "secret", APP);
    log_in().value("SELECT 1");
    for attempt in 1..=5 {
        let (took, _) = wait::timed(|| refused(port, APP, "guess"));
        assert!(took < AT_ONCE, "attempt {attempt} took {took:?}");
    }
    let (took, error) = wait::timed(|| refused(port, APP, "guess"));
    assert_eq!(error.sqlstate(), "28P01");
    let expected = Duration::from_millis(990)..Duration::from_secs(5);
    assert!(expected.contains(&took), "the sixth attempt took {took:?}");
    std::thread::scope(|scope| {
        let guess = scope.spawn(|| wait::timed(|| refused(scene.gate.session, "nobody", "x")).0);
        let (took, mut raw) = wait::timed(log_in);
        assert!(took < AT_ONCE, "the right password took {took:?}");
        assert_eq!(raw.value("SELECT 1"), "1");
        let took = guess.join().expect("it is refused");
        assert!(expected.contains(&took), "another name from there took {took:?}");
    });
    // Whoever does not wait for the answer leaves nothing behind.
    let mut raw = Raw::connect(port);
    raw.start(&[("user", "nobody")]);
    raw.next();
    raw.send(b"p\0\0\0\x05x");
    drop(raw);
    scene.until_metric(REJECTED, &["\"auth\""], 8.0);
}

#[test]
fn a_broken_password_exchange_is_refused() {
    let scene = scene_with_password(&[]);
    let port = scene.gate.session;
    let cases: &[(&str, &[u8], &str)] = &[
        ("a query", b"Q\0\0\0\x0dSELECT 1\0", "08P01 TG007"),
        ("a length that is none", b"p\0\0\0\x03", "08P01 TG007"),
        ("a length that is too large", b"p\0\x01\0\0", "08P01 TG007"),
        ("no mechanism", b"p\0\0\0\x04", "28P01 TG006"),
        ("a plain password", b"p\0\0\0\x0bsecret\0", "28P01 TG006"),
        ("another mechanism", b"p\0\0\0\x13SCRAM-SHA-1\0\0\0\0\0", "28P01 TG006"),
        ("a message that is none", b"p\0\0\0\x1aSCRAM-SHA-256\0\0\0\0\x04n,,x", "28P01 TG006"),
    ];
    for (name, bytes, expected) in cases {
        let mut raw = Raw::connect(port);
        raw.start(&[("user", APP), ("database", APP)]);
        assert_eq!(raw.next().map(|frame| frame.tag), Some(b'R'));
        raw.send(bytes);
        assert_eq!(code(&last_words(&mut raw)), *expected, "{name}");
    }
    assert_eq!(Raw::log_in(port, APP, "secret", APP).value("SELECT 1"), "1");
}

#[test]
fn whoever_does_not_log_in_in_time_is_closed() {
    let scene = scene_with_password(&["timeouts.client_login=1s"]);
    let cut = startup(3, 0, b"user\0app\0\0");
    for port in scene.ports() {
        let mut silent = Raw::connect(port);
        let mut cut_off = Raw::connect(port);
        cut_off.send(&cut[..9]);
        let mut declined = Raw::connect(port);
        declined.send(&SSL_REQUEST);
        let mut asked = Raw::connect(port);
        asked.start(&[("user", APP), ("database", APP)]);
        let mut in_password = Raw::connect(port);
        in_password.start(&[("user", APP), ("database", APP)]);
        in_password.send(b"p\0\0");
        let mut logged_in = Raw::log_in(port, APP, "secret", APP);
        let (took, end) = wait::timed(|| silent.byte());
        assert_eq!(end, None, "who has said nothing is told nothing");
        assert!((Duration::from_millis(500)..Duration::from_secs(5)).contains(&took), "{took:?}");
        assert_eq!(cut_off.byte(), None);
        assert_eq!((declined.byte(), declined.byte()), (Some(b'N'), None));
        for raw in [&mut asked, &mut in_password] {
            assert_eq!(code(&last_words(raw)), "08006 TG009");
        }
        assert_eq!(logged_in.value("SELECT 1"), "1", "a client has no such limit");
    }
    scene.until_metric(REJECTED, &["timeout"], 10.0);
}

// --- Logged in. ---

/// How far a client is when it goes wrong.
#[derive(Debug, Clone, Copy)]
enum State {
    Idle,
    MidBatch,
    MidCopyIn,
    MidResult,
    MidTransaction,
    Waiting,
}

const STATES: [State; 6] = [
    State::Idle,
    State::MidBatch,
    State::MidCopyIn,
    State::MidResult,
    State::MidTransaction,
    State::Waiting,
];

/// A client in this state, and who holds the server if it is another.
fn client_in(scene: &Scene, port: u16, state: State) -> (Raw, Option<Raw>) {
    let mut raw = scene.client(port);
    let mut holder = None;
    match state {
        State::Idle => {
            raw.run("SELECT 1");
        }
        State::MidBatch => {
            let batch = Batch::new().extended("SELECT 1", &[], Format::Text).flush();
            raw.send(batch.bytes());
            let tags: Vec<_> = (0..5).map(|_| raw.next().map(|frame| frame.tag)).collect();
            assert_eq!(tags, b"12TDC".map(Some));
        }
        State::MidCopyIn => {
            raw.query("COPY sink FROM STDIN");
            assert_eq!(raw.next().map(|frame| frame.tag), Some(b'G'));
            raw.send(Batch::new().copy_data(b"half a li").bytes());
        }
        State::MidResult => {
            raw.query("SELECT repeat('x', 10000) FROM generate_series(1, 10000000)");
            assert_eq!(raw.next().map(|frame| frame.tag), Some(b'T'));
        }
        State::MidTransaction => raw.run("BEGIN; INSERT INTO sink VALUES ('left')"),
        State::Waiting => {
            let mut other = scene.client(scene.gate.transaction);
            other.begin();
            raw.query("INSERT INTO sink VALUES ('waited')");
            scene.until_waiting(1);
            holder = Some(other);
        }
    }
    (raw, holder)
}

/// The server is free again soon, and nothing of what was cut off has happened.
fn assert_next_is_served(scene: &Scene, holder: Option<Raw>, what: &str) {
    scene.until_waiting(0);
    if let Some(mut holder) = holder {
        holder.run("COMMIT");
        holder.leave();
    }
    let mut next = scene.client(scene.gate.transaction);
    let (took, rows) = wait::timed(|| next.value("SELECT count(*) FROM sink"));
    assert_eq!(rows, "0", "{what}");
    assert!(took < Duration::from_secs(5), "{what}: the next client waited for {took:?}");
    next.leave();
}

fn scene_with_sink() -> Scene {
    let scene = scene(ONE_SERVER);
    let sql = "CREATE TABLE sink (line text); ALTER TABLE sink OWNER TO app";
    scene.cluster.sql_in(APP, sql).expect("a table");
    scene
}

#[test]
fn a_frame_that_is_none_ends_the_client_and_frees_its_server() {
    let scene = scene_with_sink();
    let violation = "08P01 TG011";
    let cases: &[(&str, &[u8], &str)] = &[
        ("a length of zero", b"Q\0\0\0\0", violation),
        ("a length of three", b"S\0\0\0\x03", violation),
        ("a length below zero", b"Q\xff\xff\xff\xff", "54000 TG012"),
        ("a length of 2 GiB", b"Q\x7f\xff\xff\xff", "54000 TG012"),
        ("an unknown tag", b"z\0\0\0\x04", violation),
        ("no tag", b"\0\0\0\0\x04", violation),
        ("a tag of no ASCII", b"\xff\0\0\0\x04", violation),
        ("a server's tag", b"Z\0\0\0\x05I", violation),
        ("a password", b"p\0\0\0\x09nope\0", violation),
        ("a second startup", b"\0\0\0\x12\0\x03\0\0user\0app\0\0", violation),
    ];
    let mut count = 0.0;
    for port in scene.ports() {
        for (name, bytes, expected) in cases {
            for state in [State::Idle, State::MidTransaction, State::MidBatch, State::MidCopyIn] {
                let what = format!("{name}, {state:?}");
                let (mut raw, holder) = client_in(&scene, port, state);
                raw.send(bytes);
                assert_eq!(code(&last_words(&mut raw)), *expected, "{what}");
                assert_next_is_served(&scene, holder, &what);
                count += 1.0;
            }
        }
    }
    scene.until_metric(CLOSED, &["violation"], count);
}

#[test]
fn a_client_that_ends_its_side_frees_its_server() {
    let scene = scene_with_sink();
    for port in scene.ports() {
        for state in STATES {
            let what = format!("half-closed, {state:?}");
            let (raw, holder) = client_in(&scene, port, state);
            raw.shut_down();
            assert_next_is_served(&scene, holder, &what);
            // What was under way may be cut, but the connection ends.
            let mut rest = Vec::new();
            let _ = std::io::Read::read_to_end(&mut raw.stream(), &mut rest);
            assert!(rest.len() < 100 << 20, "{what}: {} bytes", rest.len());
        }
    }
    scene.until_metric(CLOSED, &["vanished"], 12.0);
}

#[test]
fn a_client_that_vanishes_frees_its_server() {
    let scene = scene_with_sink();
    for port in scene.ports() {
        for state in STATES {
            let (raw, holder) = client_in(&scene, port, state);
            drop(raw); // With words unread, the kernel sends a reset.
            assert_next_is_served(&scene, holder, &format!("vanished, {state:?}"));
        }
    }
    scene.until_metric(CLOSED, &["vanished"], 12.0);
    scene.until_metric("tidegate_client_connections", &[], 0.0);
}

#[test]
fn a_message_that_never_ends_costs_one_server_and_nobody_a_wait() {
    let scene = scene_with_sink();
    const SAID: usize = 1024 * 1024;
    // Messages of 100 MB of which the client sends a hundredth.
    let cut = |tag: u8, front: &[u8]| {
        [&[tag][..], &100_000_000_u32.to_be_bytes(), front, &vec![b'y'; SAID]].concat()
    };
    let parse = Batch::new().parse("", "SELECT length($1)");
    let bind = [&[0, 0, 0, 0, 0, 1][..], &99_000_000_u32.to_be_bytes()].concat();
    let cases = [
        ("Bind", [parse.bytes(), &cut(b'B', &bind)].concat()),
        ("Query", cut(b'Q', b"SELECT '")),
        ("Parse", cut(b'P', b"\0SELECT '")),
        (
            "CopyData",
            [Batch::new().query("COPY sink FROM STDIN").bytes(), &cut(b'd', b"")].concat(),
        ),
    ];
    for port in scene.ports() {
        for (name, bytes) in &cases {
            for half in [false, true] {
                let mut raw = scene.client(port);
                raw.send(bytes);
                let sent = bytes.len() as f64;
                wait::until("the gate has it all", || {
                    let passed =
                        scene.gate.metric("tidegate_network_bytes_total", &["client", "rx"]);
                    (passed >= sent).then_some(())
                });
                if half {
                    raw.stream().shutdown(Shutdown::Write).expect("it stands");
                }
                let held = if half {
                    Some(raw)
                } else {
                    drop(raw);
                    None
                };
                assert_next_is_served(&scene, None, &format!("{name}, {half}"));
                drop(held);
            }
        }
    }
    // One server, and the census.
    scene.until("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'", "2");
}

#[test]
fn every_goodbye_is_counted_by_its_reason() {
    let mut scene = Scene::start(GATE, "plan = \"free\"", &["listen.clients_max=3"]);
    scene.gate.allow("can't open a server");
    let closed = |reason: &str, count: f64| scene.until_metric(CLOSED, &[reason], count);
    let rejected = |reason: &str, count: f64| scene.until_metric(REJECTED, &[reason], count);
    scene.client(scene.gate.session).leave();
    scene.client(scene.gate.transaction).leave();
    closed("terminate", 2.0);
    drop(scene.client(scene.gate.session));
    closed("vanished", 1.0);
    let mut raw = scene.client(scene.gate.session);
    raw.send(b"?????");
    assert_eq!(code(&last_words(&mut raw)), "08P01 TG011");
    closed("violation", 1.0);
    let killed = scene.client(scene.gate.session);
    let pid = {
        let mut killed = killed;
        let pid = killed.backend();
        scene.look(&format!("SELECT pg_terminate_backend({pid})"));
        let error = last_words(&mut killed);
        assert_eq!(error.sqlstate(), "57P01", "PostgreSQL's own words");
        pid
    };
    closed("server_lost", 1.0);
    scene.until(&format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}"), "0");
    let mut raw = Raw::connect(scene.gate.transaction);
    let error = raw.try_log_in(&[("user", APP), ("database", "nowhere")], "");
    assert_eq!(error.expect_err("it does not exist").sqlstate(), "3D000");
    rejected("no_server", 1.0);
    let clients: Vec<_> = (0..3).map(|_| scene.client(scene.gate.transaction)).collect();
    let mut raw = Raw::connect(scene.gate.transaction);
    let error = raw.try_log_in(&[("user", APP), ("database", APP)], "");
    assert_eq!(code(&error.expect_err("there is no place")), "53300 TG005");
    rejected("max_client", 1.0);
    drop(clients);
    closed("vanished", 4.0);
    scene.until_metric("tidegate_client_connections", &[], 0.0);
}
