//! TLS towards clients: who connects in which way, with what, and what it costs the others.

use std::fmt::Write as _;

use tidegate_scratch::{Cluster, ClusterOptions};
use tidegate_testkit::certificates::{
    Authority, Folder, Issued, day, ed25519, listen_flags, secured,
};
use tidegate_testkit::gate::Gate;
use tidegate_testkit::libpq::{self, Connected};
use tidegate_testkit::python;
use tidegate_testkit::raw::Raw;
use tidegate_testkit::scene::{APP, cluster};
use tidegate_testkit::wait;

const BINARY: &str = env!("CARGO_BIN_EXE_tidegate");

/// A PostgreSQL, and a gate in front of it that offers TLS.
struct Stage {
    gate: Gate,
    folder: Folder,
    ours: Authority,
    cluster: Cluster,
}

impl Stage {
    fn start(mode: &str, more: &[&str]) -> Self {
        let ours = Authority::new("ours");
        let issued = ours.issue(&["localhost"]);
        Self::with(mode, more, ours, &issued, ClusterOptions::default())
    }

    fn with(
        mode: &str,
        more: &[&str],
        ours: Authority,
        issued: &Issued,
        options: ClusterOptions,
    ) -> Self {
        let folder = Folder::default();
        let cluster = cluster(options);
        let mut flags = if mode == "off" { vec![] } else { listen_flags(&folder, mode, issued) };
        flags.extend(more.iter().map(|flag| (*flag).to_owned()));
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let gate = Gate::start(BINARY, &cluster.url(APP, "secret", APP), "", &flags);
        Self { gate, folder, ours, cluster }
    }

    fn ports(&self) -> [u16; 2] {
        [self.gate.session, self.gate.transaction]
    }

    /// libpq's words for a port of the gate.
    fn conninfo(&self, port: u16, more: &str) -> String {
        let root = self.folder.file("ours.crt", &self.ours.pem);
        let root = root.display();
        format!(
            "host=localhost hostaddr=127.0.0.1 port={port} user={APP} password=secret dbname={APP} \
             sslrootcert={root} {more}"
        )
    }

    /// Waits until so many connections have spoken TLS.
    fn until_secured(&self, count: usize) {
        wait::until(&format!("{count} connections have TLS"), || {
            (self.secured_clients() == count).then_some(())
        });
    }

    /// Connections that have spoken TLS so far.
    fn secured_clients(&self) -> usize {
        let log = self.gate.log();
        log.iter().filter(|line| line.to_string().contains("a client speaks TLS")).count()
    }
}

// --- Who connects, and how. ---

const GATES: [&str; 3] = ["off", "allow", "require"];
const MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
const BINDINGS: [&str; 3] = ["disable", "prefer", "require"];

/// What should become of an attempt: none when it is refused, otherwise whether there is TLS.
fn expected(gate: &str, mode: &str, binding: &str, negotiation: &str) -> Option<bool> {
    let demands_tls = matches!(mode, "require" | "verify-ca" | "verify-full");
    if negotiation == "direct" && !demands_tls {
        return None; // libpq itself calls that a contradiction.
    }
    let tls = match gate {
        "off" if demands_tls => return None,
        "off" => false,
        // Who says `allow` begins in clear, and asks for TLS only when that was refused.
        "allow" => demands_tls || mode == "prefer",
        _ if mode == "disable" => return None,
        _ => true,
    };
    // What was not secured cannot be bound to anything.
    (tls || binding != "require").then_some(tls)
}

fn cell(outcome: &Result<Connected, String>) -> String {
    match outcome {
        Ok(Connected { tls: None, .. }) => "in clear".into(),
        Ok(Connected { tls: Some(tls), alpn, .. }) => {
            format!("{tls}{}", if alpn.is_some() { ", ALPN" } else { "" })
        }
        Err(_) => "refused".into(),
    }
}

#[test]
fn who_connects_and_how_is_what_libpq_promises() {
    let mut table = String::new();
    for gate in GATES {
        let stage = Stage::start(gate, &[]);
        for port in stage.ports() {
            let mut attempts = Vec::new();
            for mode in MODES {
                for binding in BINDINGS {
                    let more = format!("sslmode={mode} channel_binding={binding}");
                    attempts.push((mode, binding, stage.conninfo(port, &more)));
                }
            }
            let (older, newer) = std::thread::scope(|scope| {
                let psql = scope.spawn(|| {
                    attempts.iter().map(|(.., info)| libpq::psql(info, "SELECT 42")).collect()
                });
                let infos: Vec<String> = ["postgres", "direct"]
                    .iter()
                    .flat_map(|negotiation| {
                        attempts
                            .iter()
                            .map(move |(.., info)| format!("{info} sslnegotiation={negotiation}"))
                    })
                    .collect();
                let newer = libpq::newer(&infos, "SELECT 42");
                let psql: Vec<_> = psql.join().expect("psql runs");
                (psql, newer)
            });
            let (version, newer) = newer;
            assert!(version >= 170_000, "psycopg brings libpq {version}, which is not newer");
            let (postgres, direct) = newer.split_at(attempts.len());
            let libpqs = [
                ("postgres", false, &older[..]),
                ("postgres", true, postgres),
                ("direct", true, direct),
            ];
            for (at, (mode, binding, info)) in attempts.iter().enumerate() {
                let cells = libpqs.map(|(negotiation, is_newer, outcomes)| {
                    let outcome = &outcomes[at];
                    let wanted = expected(gate, mode, binding, negotiation);
                    let found = outcome.as_ref().ok().map(|connected| connected.tls.is_some());
                    assert_eq!(found, wanted, "{gate} {negotiation} {info}: {outcome:?}");
                    if let Ok(Connected { tls, alpn, value }) = outcome {
                        assert_eq!(value, "42");
                        assert!(tls.as_deref().is_none_or(|tls| tls == "TLSv1.3"), "{tls:?}");
                        // libpq before 17 does not name the protocol.
                        let is_named = is_newer && tls.is_some();
                        assert_eq!(alpn.is_some(), is_named, "{info}: {outcome:?}");
                    }
                    cell(outcome)
                });
                let _ = writeln!(
                    table,
                    "{gate:8}| {mode:12}| {binding:8}| {:10}| {:15}| {:15}",
                    cells[0], cells[1], cells[2]
                );
            }
        }
    }
    println!("{table}");
}

#[test]
fn tls_1_2_will_do() {
    let stage = Stage::start("require", &[]);
    for port in stage.ports() {
        for binding in BINDINGS {
            let more = format!(
                "sslmode=verify-full channel_binding={binding} ssl_max_protocol_version=TLSv1.2"
            );
            let info = stage.conninfo(port, &more);
            let direct = format!("{info} sslnegotiation=direct");
            let (_, newer) = libpq::newer(&[info.clone(), direct], "SELECT 42");
            for outcome in newer.into_iter().chain([libpq::psql(&info, "SELECT 42")]) {
                let outcome = outcome.unwrap_or_else(|error| panic!("{info}: {error}"));
                assert_eq!(
                    (outcome.tls.as_deref(), outcome.value.as_str()),
                    (Some("TLSv1.2"), "42")
                );
            }
        }
    }
}

#[test]
fn asyncpg_connects_as_it_is_told() {
    let script = r#"
import asyncio, ssl, sys
import asyncpg

async def attempt(port, **how):
    try:
        connection = await asyncpg.connect(
            host="localhost", port=port, user="app", password="secret", database="app", **how
        )
        result = await connection.fetchval("SELECT $1::int", 42)
        secured = connection._transport.get_extra_info("ssl_object") is not None
        await connection.close()
        return f"{result} {'TLS' if secured else 'in clear'}"
    except Exception as error:
        return type(error).__name__

async def main():
    verified = ssl.create_default_context(cafile=sys.argv[1])
    named = ssl.create_default_context(cafile=sys.argv[1])
    named.set_alpn_protocols(["postgresql"])
    for port in sys.argv[2:]:
        for how in (
            {"ssl": False}, {"ssl": "prefer"}, {"ssl": "require"}, {"ssl": verified},
            {"ssl": named, "direct_tls": True}, {"ssl": verified, "direct_tls": True},
        ):
            print(await attempt(int(port), **how))

asyncio.run(main())
"#;
    let stage = Stage::start("require", &[]);
    let root = stage.folder.file("ours.crt", &stage.ours.pem).display().to_string();
    let [session, transaction] = stage.ports().map(|port| port.to_string());
    let answers = python::run(script, &[&root, &session, &transaction]);
    let answers: Vec<&str> = answers.lines().collect();
    let (first, second) = answers.split_at(answers.len() / 2);
    assert_eq!(first, second, "both ports are alike");
    assert_eq!(first[0], "InvalidAuthorizationSpecificationError");
    assert!(first[1..5].iter().all(|answer| *answer == "42 TLS"), "{first:?}");
    // It does not name its protocol unless it is told to.
    assert!(!first[5].starts_with("42"), "{first:?}");
}

#[test]
fn wrong_passwords_are_answered_over_tls_also_when_the_answer_is_held_back() {
    let stage = Stage::start("require", &[]);
    let wrong = stage.conninfo(stage.gate.session, "sslmode=require").replace("secret", "wrong");
    let (_, newer) = libpq::newer(&vec![wrong; 8], "SELECT 42");
    for outcome in newer {
        let error = outcome.expect_err("it is wrong");
        assert!(error.contains("password authentication failed for user"), "{error}");
    }
}

#[test]
fn what_a_client_with_tls_leaves_behind_is_cleaned_up() {
    let stage = Stage::start("require", &[]);
    for port in stage.ports() {
        let mut client = libpq::Connection::open(&stage.conninfo(port, "sslmode=require"));
        client.say("SELECT pg_sleep(60)");
        sleeps(&stage);
        drop(client); // It is killed.
        wait::until("the statement was cancelled", || {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
            (stage.cluster.sql(sql).expect("an answer") == "0").then_some(())
        });
        wait::until("the client is gone", || {
            (stage.gate.metric("tidegate_client_connections", &[]) == 0.0).then_some(())
        });
    }
}

#[test]
fn results_of_every_size_come_whole_to_who_waits_for_the_socket() {
    // What PostgreSQL sends is cut into records anew: the last must be found wherever it ends.
    let script = "\
import sys
import psycopg

with psycopg.connect(sys.argv[1], autocommit=True, prepare_threshold=None) as connection:
    connection.execute(\"SET statement_timeout = '20s'\")
    for bytes in [*range(8_000, 9_000, 250), *range(16_000, 130_000, 997)]:
        text, = connection.execute(f\"SELECT repeat('x', {bytes})\").fetchone()
        assert len(text) == bytes
    rows = connection.execute(\"SELECT repeat('x', n) FROM generate_series(1, 3000) n\").fetchall()
    assert [len(text) for text, in rows] == list(range(1, 3001))
    with connection.pipeline():
        cursors = [connection.execute(\"SELECT repeat('x', 20000 + %s)\", [n]) for n in range(300)]
    assert [len(cursor.fetchone()[0]) for cursor in cursors] == [20000 + n for n in range(300)]
print('whole')
";
    let stage = Stage::start("require", &[]);
    for port in stage.ports() {
        let info = stage.conninfo(port, "sslmode=require");
        assert_eq!(python::run(script, &[&info]).trim(), "whole");
    }
}

#[test]
fn clients_with_tls_are_told_when_the_gate_shuts_down() {
    let mut stage = Stage::start("require", &[]);
    let infos = stage.ports().map(|port| stage.conninfo(port, "sslmode=verify-full"));
    let mut clients = infos.map(|info| libpq::Connection::open(&info));
    for client in &mut clients {
        assert_eq!(client.ask("SELECT 42"), "42");
    }
    stage.gate.signal("TERM");
    assert_eq!(stage.gate.wait(), Some(0));
    for client in &mut clients {
        assert_eq!(client.ask("SELECT 42"), "error 57P01");
    }
}

#[test]
fn a_name_or_an_authority_that_is_wrong_is_found_by_the_client() {
    let stage = Stage::start("require", &[]);
    let port = stage.gate.transaction;
    let info = |more: &str| stage.conninfo(port, more);
    let by_address =
        info("sslmode=verify-full").replace("host=localhost hostaddr=127.0.0.1", "host=127.0.0.1");
    let other = stage.folder.file("other.crt", &Authority::new("other").pem);
    let unknown = info(&format!("sslmode=verify-ca sslrootcert={}", other.display()));
    let error = libpq::psql(&by_address, "SELECT 42").expect_err("it is for localhost");
    assert!(error.contains("does not match host name"), "{error}");
    let error = libpq::psql(&unknown, "SELECT 42").expect_err("nobody knows it");
    assert!(error.contains("certificate verify failed"), "{error}");
    // The gate is told by an alert, and says so.
    wait::until("the gate has logged the alert", || {
        stage.gate.has_logged("it does not trust who signed our certificate").then_some(())
    });
    let rejected = || stage.gate.metric("tidegate_client_connections_rejected_total", &["tls"]);
    wait::until("it is counted", || (rejected() >= 1.0).then_some(()));
}

#[test]
fn who_must_have_tls_is_told_so_in_clear() {
    let stage = Stage::start("require", &[]);
    for port in stage.ports() {
        let error = libpq::psql(&stage.conninfo(port, "sslmode=disable"), "SELECT 42");
        let error = error.expect_err("it is refused");
        assert!(error.contains("this port takes only connections that are encrypted"), "{error}");
        assert!(error.contains("sslmode=require"), "{error}");
    }
}

#[test]
fn a_unix_socket_has_no_tls_and_needs_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(".s.PGSQL.6543");
    let session = format!("listen.session=127.0.0.1:0,unix:{}", path.display());
    let stage = Stage::start("require", &[&session]);
    let info = |more: &str| {
        format!(
            "host={} port=6543 user={APP} password=secret dbname={APP} {more}",
            folder.path().display()
        )
    };
    for mode in ["", "sslmode=disable", "sslmode=require"] {
        // libpq does not ask for TLS on a Unix socket, whatever it is told.
        let connected = libpq::psql(&info(mode), "SELECT 42").expect("it needs none");
        assert_eq!((connected.tls, connected.value.as_str()), (None, "42"), "{mode}");
    }
    assert_eq!(stage.secured_clients(), 0);
}

#[test]
fn certificates_of_clients_are_verified_where_an_authority_is_named() {
    let folder = Folder::default();
    let ours = Authority::new("for clients");
    let authority = folder.file("clients.crt", &ours.pem);
    let shown = |name: &str, issued: &Issued| {
        let (certificate, key) = folder.pair(name, issued);
        format!("sslmode=verify-full sslcert={} sslkey={}", certificate.display(), key.display())
    };
    let known = shown("known", &ours.issue(&[]));
    let stranger = shown("stranger", &Authority::new("another").issue(&[]));
    let none = "sslmode=verify-full sslcert=/nonexistent".to_owned();
    for (wanted, without) in [("optional", true), ("require", false)] {
        let authority = format!("listen.tls_client_ca={}", authority.display());
        let wanted = format!("listen.tls_client_cert={wanted}");
        let stage = Stage::start("require", &[&authority, &wanted]);
        for port in stage.ports() {
            let cases = [(&known, true), (&stranger, false), (&none, without)];
            let infos: Vec<_> = cases.iter().map(|(more, _)| stage.conninfo(port, more)).collect();
            let (_, newer) = libpq::newer(&infos, "SELECT 42");
            for ((info, (_, is_served)), newer) in infos.iter().zip(cases).zip(newer) {
                for outcome in [libpq::psql(info, "SELECT 42"), newer] {
                    assert_eq!(outcome.is_ok(), is_served, "{wanted} {info}: {outcome:?}");
                }
            }
        }
        let refused = || stage.gate.metric("tidegate_client_connections_rejected_total", &["tls"]);
        wait::until("they are counted", || (refused() >= 4.0).then_some(()));
        stage.gate.until_logged("no authority that is trusted has signed it");
        if !without {
            stage.gate.until_logged("the client has shown no certificate");
        }
    }
}

#[test]
fn nothing_is_bound_to_a_certificate_without_a_hash_to_bind_to() {
    let issued = ed25519(&["localhost"]);
    let stage =
        Stage::with("require", &[], Authority::new("n"), &issued, ClusterOptions::default());
    let root = stage.folder.file("itself.crt", &issued.certificate);
    for port in stage.ports() {
        let info = |binding: &str| {
            let more = format!(
                "sslmode=verify-full sslrootcert={} channel_binding={binding}",
                root.display()
            );
            stage.conninfo(port, &more)
        };
        let infos = ["disable", "prefer", "require"].map(info);
        let (_, newer) = libpq::newer(&infos, "SELECT 42");
        let older = infos.each_ref().map(|info| libpq::psql(info, "SELECT 42"));
        for outcomes in [&newer[..], &older[..]] {
            assert!(outcomes[0].is_ok() && outcomes[1].is_ok(), "{outcomes:?}");
            let error = outcomes[2].as_ref().expect_err("there is nothing to bind to");
            assert!(error.contains("channel binding"), "{error}");
        }
    }
}

// --- What is no TLS, or too little of it. ---

/// The first flight of a client that speaks TLS.
fn client_hello() -> Vec<u8> {
    let script = "\
import ssl
into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
context = ssl._create_unverified_context()
context.set_alpn_protocols(['postgresql'])
try:
    context.wrap_bio(into, out).do_handshake()
except ssl.SSLWantReadError:
    pass
print(out.read().hex())
";
    let text = python::run(script, &[]);
    let text = text.trim();
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(byte).collect()
}

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

#[test]
fn what_is_no_tls_ends_a_handshake_and_nothing_else() {
    let stage = Stage::start("require", &["timeouts.client_login=500ms"]);
    let hello = client_hello();
    let http = b"GET / HTTP/1.1\r\nHost: gate\r\n\r\n";
    for port in stage.ports() {
        // Where a packet is expected.
        for garbage in [&http[..], &[0xff; 64], b"\r\n\r\n\r\n\r\n"] {
            let mut raw = Raw::connect(port);
            raw.send(garbage);
            raw.until_end();
        }
        // Where a handshake is expected.
        for garbage in [&http[..], &[0xff; 64], &[0x16; 64], &SSL_REQUEST] {
            let mut raw = Raw::connect(port);
            raw.send(&SSL_REQUEST);
            assert_eq!(raw.byte(), Some(b'S'));
            raw.send(garbage);
            let rest: Vec<u8> = std::iter::from_fn(|| raw.byte()).collect();
            assert!(rest.is_empty() || rest[0] == 0x15, "it is answered by an alert: {rest:?}");
        }
        // Injected before it.
        let mut raw = Raw::connect(port);
        raw.send(&[&SSL_REQUEST[..], &hello[..]].concat());
        assert_ne!(raw.byte(), Some(b'S'));
        // All of it, and gone.
        for bytes in [hello.len(), hello.len() / 2, 1] {
            let mut raw = Raw::connect(port);
            raw.send(&hello[..bytes]);
            let mut raw = Raw::connect(port);
            raw.send(&SSL_REQUEST);
            raw.send(&hello[..bytes]);
        }
        // Half of it, or none, and then nothing more: the login takes too long.
        for part in [&hello[..0], &hello[..3], &hello[..hello.len() / 2]] {
            for is_direct in [true, false] {
                let mut raw = Raw::connect(port);
                if !is_direct {
                    raw.send(&SSL_REQUEST);
                    assert_eq!(raw.byte(), Some(b'S'));
                }
                raw.send(part);
                while raw.byte().is_some() {}
            }
        }
    }
    wait::until("nobody is left", || {
        (stage.gate.metric("tidegate_client_connections", &[]) == 0.0).then_some(())
    });
    let connected =
        libpq::psql(&stage.conninfo(stage.gate.session, "sslmode=require"), "SELECT 42");
    assert_eq!(connected.expect("it goes on").value, "42");
}

#[test]
fn a_hello_to_a_port_without_tls_is_refused_at_once() {
    let stage = Stage::start("off", &[]);
    for port in stage.ports() {
        let mut raw = Raw::connect(port);
        raw.send(&client_hello());
        let (took, _) = wait::timed(|| while raw.byte().is_some() {});
        assert!(took.as_secs() < 5, "it was kept for {took:?}");
        // Who asks is told that there is none, and may go on in clear.
        let mut raw = Raw::connect(port);
        raw.send(&SSL_REQUEST);
        assert_eq!(raw.byte(), Some(b'N'));
        raw.try_log_in(&[("user", APP), ("database", APP)], "secret").expect("it is served");
        assert_eq!(raw.value("SELECT 42"), "42");
    }
}

#[test]
fn a_direct_hello_without_alpn_is_refused() {
    let stage = Stage::start("allow", &[]);
    let script = "\
import socket, ssl, sys
context = ssl._create_unverified_context()
if sys.argv[2]:
    context.set_alpn_protocols([sys.argv[2]])
try:
    secured = context.wrap_socket(socket.create_connection(('127.0.0.1', int(sys.argv[1]))))
    secured.sendall(b'\\0\\0\\0\\x08\\x04\\xd2\\x16\\x2f')
    print('heard', secured.recv(1))
except OSError as error:
    print('refused', error)
";
    for port in stage.ports() {
        // As PostgreSQL 17 does it: a wrong name is refused in the handshake, none just after.
        let answer = python::run(script, &[&port.to_string(), "http/1.1"]);
        assert!(answer.contains("no application protocol"), "{answer}");
        let answer = python::run(script, &[&port.to_string(), ""]);
        assert!(answer.contains("heard b''") || answer.contains("refused"), "{answer}");
    }
    stage.gate.until_logged("must name its protocol");
}

// --- Renewal. ---

#[test]
fn a_renewed_certificate_is_shown_from_then_on_and_a_broken_one_never() {
    let mut stage = Stage::start("require", &[]);
    stage.gate.allow("settings stay as they were").allow("settings: ");
    let port = stage.gate.session;
    let next = Authority::new("the next");
    let next_root = stage.folder.file("next.crt", &next.pem);
    let old = stage.conninfo(port, "sslmode=verify-full");
    let new = format!("{old} sslrootcert={}", next_root.display());
    let mut client = libpq::Connection::open(&old);
    assert_eq!(client.ask("SELECT 1"), "1");

    // A file that is broken, or a key that is another's, changes nothing.
    let (certificate, _) = stage.folder.pair("gate", &next.issue(&["localhost"]));
    stage.folder.file("gate.crt", "-----BEGIN CERTIFICATE-----\nbroken\n");
    let errors = |stage: &Stage| {
        let log = stage.gate.log();
        log.iter().filter(|line| line.to_string().contains("settings stay")).count()
    };
    stage.gate.signal("HUP");
    wait::until("the broken file is logged", || (errors(&stage) == 1).then_some(()));
    let path = certificate.display().to_string();
    stage.gate.until_logged(&path);
    stage.folder.file("gate.crt", &next.issue(&["localhost"]).certificate);
    stage.gate.signal("HUP");
    wait::until("the wrong key is logged", || (errors(&stage) == 2).then_some(()));
    assert_eq!(libpq::psql(&old, "SELECT 42").expect("the old one is shown").value, "42");
    assert!(libpq::psql(&new, "SELECT 42").is_err());

    stage.folder.pair("gate", &next.issue(&["localhost"]));
    stage.gate.signal("HUP");
    wait::until("the files were read", || {
        stage.gate.has_logged("certificates, and keys were read again").then_some(())
    });
    for port in stage.ports() {
        let new = new.replace(&format!("port={}", stage.gate.session), &format!("port={port}"));
        // With channel binding, what it is bound to must have changed as well.
        for binding in ["disable", "require"] {
            let info = format!("{new} channel_binding={binding}");
            assert_eq!(libpq::psql(&info, "SELECT 42").expect("the new one is shown").value, "42");
        }
    }
    assert!(libpq::psql(&old, "SELECT 42").is_err());
    assert_eq!(client.ask("SELECT 2"), "2", "who was connected goes on");
}

/// It is warned of wherever the certificate is read, and shown all the same: who does not verify it goes on.
#[test]
fn a_certificate_of_our_own_that_has_expired_is_warned_of() {
    let ours = Authority::new("ours");
    let expired = ours.issue_with(&["localhost"], |wanted| {
        wanted.not_before = day(2020, 1, 1);
        wanted.not_after = day(2020, 12, 31);
    });
    let mut stage = Stage::with("require", &[], ours, &expired, ClusterOptions::default());
    let words = "has expired on 2020-12-31: clients that verify it refuse it; renew it";
    stage.gate.allow(words);
    let count = |stage: &Stage, words: &str| {
        let log = stage.gate.log();
        log.iter().filter(|line| line.to_string().contains(words)).count()
    };
    assert_eq!(count(&stage, words), 1, "at the start");
    let verifies = stage.conninfo(stage.gate.session, "sslmode=verify-full");
    let error = libpq::psql(&verifies, "SELECT 42").expect_err("it has expired");
    assert!(error.contains("certificate verify failed"), "{error}");
    stage.gate.until_logged("it says that our certificate has expired");
    // With a root certificate at hand libpq would verify all the same.
    let trusts = stage.conninfo(stage.gate.session, "sslmode=require sslrootcert=/nowhere");
    assert_eq!(libpq::psql(&trusts, "SELECT 42").expect("it does not verify").value, "42");

    let reloads = "certificates, and keys were read again";
    stage.gate.signal("HUP");
    wait::until("it was read again", || (count(&stage, reloads) == 1).then_some(()));
    assert_eq!(count(&stage, words), 2, "as long as it is so");
    stage.folder.pair("gate", &stage.ours.issue(&["localhost"]));
    stage.gate.signal("HUP");
    wait::until("it was read again", || (count(&stage, reloads) == 2).then_some(()));
    assert_eq!(libpq::psql(&verifies, "SELECT 42").expect("it was renewed").value, "42");
    assert_eq!(count(&stage, words), 2);
}

// --- Cancel. ---

fn sleeps(stage: &Stage) {
    wait::until("the statement runs", || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        (stage.cluster.sql(sql).expect("an answer") == "1").then_some(())
    });
}

#[test]
fn a_cancel_over_tls_reaches_a_running_statement() {
    let ours = Authority::new("ours");
    let issued = ours.issue(&["localhost"]);
    let options = secured(ClusterOptions::default(), &issued)
        .hba("hostssl all all 127.0.0.1/32 scram-sha-256");
    let stage = Stage::with("require", &[], ours, &issued, options);
    let mut connections = 0;
    for port in stage.ports() {
        let mut client = libpq::Connection::open(&stage.conninfo(port, "sslmode=verify-full"));
        connections += 1;
        stage.until_secured(connections);
        client.say("SELECT pg_sleep(60)");
        sleeps(&stage);
        client.cancel();
        assert_eq!(client.hear(), "error 57014");
        connections += 1;
        stage.until_secured(connections);
        assert_eq!(client.ask("SELECT 42"), "42");

        // libpq before 17 has no other way, and nobody who can't read TLS knows the secret.
        client.say("SELECT pg_sleep(60)");
        sleeps(&stage);
        client.cancel_in_clear();
        assert_eq!(client.hear(), "error 57014");
        assert_eq!(stage.secured_clients(), connections);
    }
}
