//! The service of `examples/fastapi` with two hundred clients, through the transaction port, while
//! PostgreSQL is restarted: whoever has not begun waits, and what is lost is what was under way.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_scratch::{ClusterOptions, StopMode};
use tidegate_testkit::python::{self, Script};
use tidegate_testkit::scene::{self, APP, Scene};
use tidegate_testkit::wait;

const CLIENTS: usize = 200;
/// Passwords are no part of this.
const HBA: &str = "local all all trust\nhost all all 127.0.0.1/32 trust\n";
/// Processes of the service, each with the 5 + 10 connections of its own pool.
const PROCESSES: usize = 2;
/// PostgreSQL's connections: what can be under way at once.
const SERVERS: usize = 5;
/// Longer than PostgreSQL is away, and than anybody waits for a server.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// What a request is told whose server was lost. asyncpg says nothing of a FATAL that comes in the midst
/// of a statement but that the connection has gone (08003), and finds itself in the wrong state when
/// one has come between two statements of a transaction, for which the service has no word (500).
/// Without a gate it is the same (`asyncpg_makes_of_a_lost_server_what_it_makes_of_it_without_a_gate`).
/// 08007 is the gate's own: a COMMIT was under way.
const CAUSES: [&str; 6] = [
    "503 \"57P01\"",
    "503 \"57P02\"",
    "503 \"08006\"",
    "503 \"08007\"",
    "503 \"08003\"",
    "500 null",
];

/// The service on a port that the kernel chooses.
const SERVICE: &str = r#"
import os, socket, sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
os.environ["DATABASE_URL"] = sys.argv[2]
import uvicorn
from app.main import app

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
"#;

fn folder() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/fastapi");
    folder.to_str().expect("the path is text").to_owned()
}

/// The status and the body of an answer.
fn ask(port: u16, method: &str, path: &str, body: &str) -> std::io::Result<(u16, Value)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(ErrorKind::InvalidData)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or(ErrorKind::InvalidData)?;
    Ok((status, serde_json::from_str(body).unwrap_or_default()))
}

/// What the clients share.
#[derive(Default)]
struct Watch {
    stop: AtomicBool,
    /// Goes up when PostgreSQL goes away, and when nothing of it is left: odd in between.
    phase: AtomicU64,
    answered: AtomicU64,
}

/// What one client has met with.
#[derive(Default)]
struct Met {
    answered: u64,
    /// Names that were added, and those of which it is not known.
    added: Vec<String>,
    unsure: Vec<String>,
    /// Errors by cause, and how many in each phase that a request began in.
    causes: BTreeMap<String, u32>,
    errors: BTreeMap<u64, u32>,
}

/// A short write and a short query in turn; each answer must be the client's own.
fn live(number: usize, port: u16, watch: &Watch) -> Met {
    let mut met = Met::default();
    for nth in 0_u64.. {
        if watch.stop.load(Ordering::Acquire) {
            break;
        }
        let began = watch.phase.load(Ordering::Acquire);
        let name = format!("client {number}, item {nth}");
        let writes = nth % 2 == 0;
        let answer = if writes {
            let body = json!({"name": name, "price_cents": number}).to_string();
            ask(port, "POST", "/items", &body)
        } else {
            ask(port, "GET", "/items", "")
        };
        let (status, body) = answer.expect("the service answers whatever becomes of PostgreSQL");
        match (writes, status) {
            (true, 201) => {
                assert_eq!((&body["name"], &body["price_cents"]), (&json!(name), &json!(number)));
                met.added.push(name);
            }
            (false, 200) => assert_eq!(body.as_array().map(Vec::len), Some(20), "{body}"),
            _ => {
                *met.causes.entry(format!("{status} {}", body["sqlstate"])).or_default() += 1;
                *met.errors.entry(began).or_default() += 1;
                if writes {
                    met.unsure.push(name);
                }
                continue;
            }
        }
        met.answered += 1;
        watch.answered.fetch_add(1, Ordering::Relaxed);
    }
    met
}

fn until_more(watch: &Watch, answers: u64) {
    let wanted = watch.answered.load(Ordering::Relaxed) + answers;
    wait::until_within(ANSWER_MAX, &format!("{answers} more answers"), || {
        (watch.answered.load(Ordering::Relaxed) >= wanted).then_some(())
    });
}

#[test]
fn a_restart_of_postgresql_costs_the_requests_under_way_and_no_other() {
    let settings = format!("plan = \"free\"\n[pool]\npool_size = {SERVERS}\nmax_overflow = 0\n");
    // What PostgreSQL has said to be committed outlives its processes; a scratch cluster is faster.
    let options = ClusterOptions::default().hba(HBA).setting("synchronous_commit", "on");
    let cluster = scene::cluster(options);
    let url = format!("postgres://{APP}@127.0.0.1:{}/{APP}", cluster.port());
    let mut scene = Scene::with(env!("CARGO_BIN_EXE_tidegate"), cluster, &url, &settings, &[]);
    scene.gate.allow("can't open a server").allow("the census can't connect");
    scene.gate.allow("the census lost its connection");
    let schema = std::fs::read_to_string(Path::new(&folder()).join("schema.sql"));
    scene.client(scene.cluster.port()).run(&schema.expect("the example has a schema"));

    let url = format!("postgresql://{APP}:none@127.0.0.1:{}/{APP}", scene.gate.transaction);
    let services: Vec<_> =
        (0..PROCESSES).map(|_| Script::start(SERVICE, &[&folder(), &url])).collect();
    let ports: Vec<u16> =
        services.iter().map(|service| service.hear().parse().expect("a port")).collect();
    for port in &ports {
        wait::until("the service answers", || {
            ask(*port, "GET", "/items", "").ok().filter(|(status, _)| *status == 200)
        });
    }
    let watch = Arc::new(Watch::default());
    let clients: Vec<JoinHandle<Met>> = (0..CLIENTS)
        .map(|number| {
            let (watch, port) = (watch.clone(), ports[number % PROCESSES]);
            thread::Builder::new()
                .stack_size(256 * 1024)
                .spawn(move || live(number, port, &watch))
                .expect("a thread")
        })
        .collect();
    until_more(&watch, 2 * CLIENTS as u64);
    let modes = [StopMode::Fast, StopMode::Immediate];
    for mode in modes {
        watch.phase.fetch_add(1, Ordering::AcqRel);
        scene.cluster.stop(mode).expect("it stops");
        watch.phase.fetch_add(1, Ordering::AcqRel);
        scene.cluster.start_again().expect("it starts");
        until_more(&watch, 4 * CLIENTS as u64);
    }
    watch.stop.store(true, Ordering::Release);
    let met: Vec<Met> =
        clients.into_iter().map(|c| c.join().expect("no answer was wrong")).collect();

    let mut causes = BTreeMap::<String, u32>::new();
    let mut errors = BTreeMap::<u64, u32>::new();
    for client in &met {
        client.causes.iter().for_each(|(cause, n)| *causes.entry(cause.clone()).or_default() += n);
        client.errors.iter().for_each(|(phase, n)| *errors.entry(*phase).or_default() += n);
    }
    let answered: u64 = met.iter().map(|client| client.answered).sum();
    let all: u32 = errors.values().sum();
    println!("{CLIENTS} clients: {answered} answers, {all} errors: {causes:?}");
    println!("errors by when the request began (even: PostgreSQL was there): {errors:?}");

    for (number, client) in met.iter().enumerate() {
        assert!(client.answered > 0, "client {number} was never served");
        // A request that is lost began before or while PostgreSQL went.
        for (nth, _) in modes.iter().enumerate() {
            let went = 2 * nth as u64 + 1;
            let of_one = [went - 1, went].map(|phase| client.errors.get(&phase).unwrap_or(&0));
            assert!(of_one.into_iter().sum::<u32>() <= 1, "client {number}: {:?}", client.errors);
        }
    }
    let last = 2 * modes.len() as u64;
    assert_eq!(errors.get(&last), None, "a request that began when all was well has failed");
    // What was under way had a server, each of which is lost once in a restart.
    assert!(all as usize <= modes.len() * SERVERS, "{all} errors");
    for cause in causes.keys() {
        assert!(CAUSES.contains(&cause.as_str()), "{cause}");
    }

    // What was answered is there once; what was not, at most once.
    scene.look_anew();
    let rows = scene.look(
        "SELECT json_object_agg(name, n) FROM (SELECT name, count(*) AS n FROM items \
         WHERE name LIKE 'client %' GROUP BY name) AS names",
    );
    let mut rows: BTreeMap<String, u64> = serde_json::from_str(&rows).expect("JSON");
    for name in met.iter().flat_map(|client| &client.added) {
        assert_eq!(rows.remove(name), Some(1), "{name}");
    }
    for name in met.iter().flat_map(|client| &client.unsure) {
        assert!(rows.remove(name).unwrap_or(0) <= 1, "{name}");
    }
    assert_eq!(rows, BTreeMap::new(), "nobody asked for these");
    drop(services);
    scene.all_slots_serve(SERVERS, 1);
}

/// Its backend is ended in the midst of a statement, and between two of a transaction.
const LOST: &str = r#"
import asyncio, sys
import asyncpg

async def main(port, direct):
    superuser = await asyncpg.connect(
        host="127.0.0.1", port=direct, user="postgres", password="postgres", database="app")
    for is_busy in (True, False):
        connection = await asyncpg.connect(
            host="127.0.0.1", port=port, user="app", password="none", database="app")
        await connection.execute("BEGIN")
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        busy = asyncio.ensure_future(connection.execute("SELECT pg_sleep(60)")) if is_busy else None
        while is_busy and await superuser.fetchval(
                "SELECT query FROM pg_stat_activity WHERE pid = $1", pid) != "SELECT pg_sleep(60)":
            await asyncio.sleep(0.01)
        await superuser.fetchval("SELECT pg_terminate_backend($1, 10000)", pid)
        try:
            while not is_busy:
                # Until it has heard of it.
                await asyncio.sleep(0.05)
                await connection.execute("SELECT 1")
            await busy
        except Exception as error:
            print(type(error).__name__, getattr(error, "sqlstate", None))
        connection.terminate()
    await superuser.close()

asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
"#;

#[test]
fn asyncpg_makes_of_a_lost_server_what_it_makes_of_it_without_a_gate() {
    let scene = Scene::start(env!("CARGO_BIN_EXE_tidegate"), "", &[]);
    let direct = scene.cluster.port();
    let said = |port: u16| python::run(LOST, &[&port.to_string(), &direct.to_string()]);
    let expected = said(direct);
    println!("{expected}");
    assert_eq!(expected.lines().count(), 2);
    for port in scene.ports() {
        assert_eq!(said(port), expected);
    }
}
