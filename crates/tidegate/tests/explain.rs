//! `tidegate explain`: on the command line, and with errors that drivers, pools, PostgreSQL, and the
//! gate have really raised.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tidegate_scratch::ClusterOptions;
use tidegate_testkit::gate::Gate;
use tidegate_testkit::outcome::{self, Outcome};
use tidegate_testkit::python;
use tidegate_testkit::scene::{APP, cluster};

const BINARY: &str = env!("CARGO_BIN_EXE_tidegate");

fn explain(arguments: &[&str]) -> Outcome {
    let folder = TempDir::new().expect("a temporary folder");
    outcome::run(BINARY, folder.path(), &[], &[&["explain"], arguments].concat())
}

/// With `text` on standard input.
fn pasted(text: &str, arguments: &[&str]) -> Outcome {
    let mut command = Command::new(BINARY);
    command.arg("explain").args(arguments).env_clear();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let mut input = child.stdin.take().expect("stdin is piped");
    input.write_all(text.as_bytes()).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    Outcome {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).expect("it prints text"),
        err: String::from_utf8(output.stderr).expect("it says text"),
    }
}

/// The best match of a pasted text.
fn best(text: &str) -> Value {
    let answer: Value = serde_json::from_str(&pasted(text, &["--json"]).done()).expect("JSON");
    assert_eq!(answer["schema"], "tidegate.explanation.v1");
    answer["matches"][0].clone()
}

#[test]
fn a_code_a_state_and_words_are_explained() {
    let said = explain(&["TG001"]).done();
    for words in ["TG001: no server became free", "tidegate ps holders", "docs/errors/TG001.md"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let said = explain(&["53300"]).done();
    assert!(said.contains("too_many_connections") && said.contains("TG001"), "{said}");
    // Several words need no quotes.
    let said = explain(&["FATAL:", "sorry,", "too", "many", "clients", "already"]).done();
    assert!(said.contains("PostgreSQL has no connection left"), "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 100), "{said}");
}

#[test]
fn standard_input_is_read_with_a_dash_or_without_words() {
    let text = "\n\nERROR: query_wait_timeout\n";
    for arguments in [&["-"][..], &[]] {
        let said = pasted(text, arguments).done();
        assert!(said.contains("PgBouncer had no free connection in time"), "{said}");
    }
}

#[test]
fn what_is_not_known_is_a_no_and_nothing_at_all_is_a_wrong_use() {
    let said = explain(&["KeyError:", "'hunter3'"]).failed(1);
    assert!(said.contains("what is looked for") && !said.contains("hunter3"), "{said}");
    let outcome = explain(&["--json", "KeyError"]);
    assert_eq!(outcome.code, Some(1));
    let answer: Value = serde_json::from_str(&outcome.out).expect("JSON");
    assert_eq!(answer["matches"], Value::Array(Vec::new()));
    assert!(explain(&[]).failed(2).contains("nothing to explain"));
}

/// Each block raises an error and prints its traceback behind a line with its name.
const RAISE: &str = r#"
import asyncio, sys, traceback
import asyncpg, psycopg, psycopg_pool, sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

url, limited, gate = sys.argv[1:4]

def told(name):
    print("=====", name)
    traceback.print_exc(file=sys.stdout)

engine = sqlalchemy.create_engine(url.replace("postgres://", "postgresql+psycopg://"),
                                  pool_size=1, max_overflow=1, pool_timeout=0.25)
with engine.connect(), engine.connect():
    try:
        engine.connect()
    except Exception:
        told("sqlalchemy-queue-pool")

with psycopg_pool.ConnectionPool(url, min_size=1, max_size=1, open=True) as pool:
    with pool.connection():
        try:
            pool.getconn(timeout=0.25)
        except Exception:
            told("psycopg-pool-timeout")

with psycopg.connect(limited):
    try:
        psycopg.connect(limited)
    except Exception:
        told("postgres-role-limit")

try:
    psycopg.connect("postgres://app@127.0.0.1:1/app")
except Exception:
    told("driver-refused")

async def asynchronous():
    pool = await asyncpg.create_pool(url, min_size=1, max_size=1)
    async with pool.acquire():
        try:
            await pool.acquire(timeout=0.25)
        except Exception:
            told("asyncpg-pool-timeout")
    await pool.close()

    connection = await asyncpg.connect(url)
    running = asyncio.ensure_future(connection.execute("SELECT pg_sleep(0.25)"))
    await asyncio.sleep(0)
    try:
        await connection.execute("SELECT 1")
    except Exception:
        told("driver-shared")
    await running
    await connection.close()

    engine = create_async_engine(url.replace("postgres://", "postgresql+asyncpg://"),
                                 pool_size=1, max_overflow=0, pool_timeout=0.25)
    async with engine.connect():
        try:
            await engine.connect()
        except Exception:
            told("sqlalchemy-queue-pool")
    await engine.dispose()

    # One server, and somebody has it.
    holder = await asyncpg.connect(gate)
    await holder.execute("BEGIN; SELECT 1")
    other = await asyncpg.connect(gate)
    try:
        await other.execute("SELECT 1")
    except Exception:
        told("TG001")
    await holder.execute("COMMIT")

asyncio.run(asynchronous())
"#;

#[test]
fn errors_that_were_really_raised_are_recognised_whole_tracebacks_included() {
    let cluster = cluster(ClusterOptions::default());
    cluster
        .sql("CREATE ROLE limited LOGIN PASSWORD 'secret' CONNECTION LIMIT 1")
        .expect("it is right");
    let url = cluster.url(APP, "secret", APP);
    let limited = cluster.url("limited", "secret", APP);
    let settings =
        "plan = \"free\"\n[pool]\npool_size = 1\nmax_overflow = 0\npool_timeout = \"250ms\"\n";
    let gate = Gate::start(BINARY, &url, settings, &[]);
    let through = format!("postgres://{APP}:secret@127.0.0.1:{}/{APP}", gate.transaction);
    let raised = python::run(RAISE, &[&url, &limited, &through]);
    let mut seen = 0;
    for part in raised.split("===== ").skip(1) {
        let (id, traceback) = part.split_once('\n').expect("a name stands before it");
        let best = best(traceback);
        assert_eq!(best["id"], id, "{traceback}");
        seen += 1;
        let value = |name: &str| {
            let values = best["values"].as_array().expect("a list");
            let found = values.iter().find(|value| value["name"] == name);
            found.map(|value| value["value"].as_str().expect("text").to_owned())
        };
        match id {
            "TG001" => assert_eq!(value("slots_max").as_deref(), Some("1"), "{traceback}"),
            "sqlalchemy-queue-pool" => assert_eq!(value("size").as_deref(), Some("1")),
            "psycopg-pool-timeout" => assert_eq!(value("timeout").as_deref(), Some("0.25")),
            "driver-refused" => assert_eq!(value("port").as_deref(), Some("1")),
            "postgres-role-limit" => assert_eq!(value("role").as_deref(), Some("limited")),
            _ => {}
        }
    }
    assert_eq!(seen, 8, "{raised}");
}
