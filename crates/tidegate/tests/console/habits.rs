//! What people type, and what drivers do without being asked.

use tidegate_testkit::batch::{Batch, Format};
use tidegate_testkit::certificates::{Authority, Folder, listen_flags};
use tidegate_testkit::libpq::psql;
use tidegate_testkit::scene::{APP, Scene};
use tidegate_testkit::{node, python};

use super::{console, scene, scene_with, show};

fn conninfo(port: u16, rest: &str) -> String {
    format!("host=127.0.0.1 port={port} user={APP} dbname=pgbouncer {rest}")
}

#[test]
fn words_of_sql_that_people_and_health_checks_use_are_answered() {
    let scene = scene("");
    let mut console = console(scene.gate.transaction);
    assert_eq!(console.value("SELECT 1"), "1");
    assert!(console.value("select version();").starts_with("PgBouncer 1.18.0 (Tidegate "));
    assert_eq!(console.value("SHOW standard_conforming_strings"), "on");
    assert_eq!(console.value("SHOW TRANSACTION ISOLATION LEVEL"), "read committed");
    for (text, tags) in [
        ("/* as an agent does */ show Pools ; -- all", "TDDCZI"),
        ("", "IZI"),
        (";", "IZI"),
        ("BEGIN", "CZT"),
        ("SET LOCAL statement_timeout = 0", "NCZT"),
        ("SHOW STATE; SHOW VERSION", "TDDDCTDCZT"),
        ("ROLLBACK", "CZI"),
        ("DISCARD ALL", "CZI"),
        ("SHOW HELP", "NCZI"),
        ("SHOW DNS_HOSTS", "TCZI"),
        ("what is this", "EZI"),
        ("SET default_pool_size = 3", "EZI"),
        ("SHOW FDS", "EZI"),
        ("DISABLE app", "EZI"),
        ("SHOW VERSION; what", "EZI"),
    ] {
        console.query(text);
        // A client of this database has a row as well, once there is one.
        let told = console.tags();
        let expected = if text.contains("Pools") { "TDCZI" } else { tags };
        assert_eq!(told, expected, "{text}");
    }
    console.query("SELECT now()");
    let frames = console.until_ready();
    assert_eq!(frames[0].field(b'M'), "invalid command 'SELECT now()', use SHOW HELP;");
    let batch = Batch::new().extended("SHOW STATE", &[], Format::Binary).sync();
    let frames = console.exchange(&batch, 1);
    let tags: String = frames.iter().map(|frame| char::from(frame.tag)).collect();
    assert_eq!(tags, "12TDDDCZ");
}

#[test]
fn psql_talks_to_it_in_clear_and_over_tls() {
    let (authority, folder) = (Authority::new("of the console"), Folder::default());
    let issued = authority.issue(&["127.0.0.1"]);
    let flags = listen_flags(&folder, "allow", &issued);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let scene = scene_with("", &flags);
    for port in scene.ports() {
        for (mode, tls) in [("disable", None), ("require", Some("TLSv1.3"))] {
            let mode = format!("sslmode={mode}");
            let told = psql(&conninfo(port, &mode), "SHOW VERSION").expect("it connects");
            assert_eq!(told.tls.as_deref(), tls);
            assert!(told.value.starts_with("PgBouncer 1.18.0 (Tidegate "), "{told:?}");
            let no = psql(&conninfo(port, &mode), "\\l").expect_err("there are no databases");
            assert!(no.contains("invalid command 'SELECT"), "{no}");
            assert!(no.contains("use SHOW HELP;"), "{no}");
        }
    }
    let told =
        psql(&conninfo(scene.gate.session, "sslmode=require"), "SHOW CLIENTS").expect("it is");
    assert!(told.value.contains("|TLSv1.3|"), "{told:?}");
}

/// As they are, and as they like it best: psycopg over the simple protocol and over the extended one,
/// in transactions and without; asyncpg with statements that it keeps, and in binary.
const DRIVERS: &str = r#"
import asyncio, sys
import asyncpg, psycopg
port = int(sys.argv[1])
info = f"host=127.0.0.1 port={port} user=app dbname=pgbouncer"
with psycopg.connect(info) as conn:
    for _ in range(7):  # From the fifth time on it prepares a statement with a name.
        rows = conn.execute("SHOW POOLS").fetchall()
    print("psycopg", rows[-1][0], type(rows[-1][2]).__name__, rows[-1][2])
    conn.commit()
    try:
        conn.execute("SHOW NOTHING")
    except psycopg.errors.SyntaxError as error:
        print("psycopg", error.diag.message_primary)
    conn.rollback()
with psycopg.connect(info, autocommit=True) as conn:
    row = conn.execute("SHOW STATS", binary=True).fetchone()
    print("psycopg", row[0], type(row[1]).__name__)
    with psycopg.ClientCursor(conn) as cursor:
        print("psycopg", cursor.execute("SHOW STATE").fetchall())
async def main():
    conn = await asyncpg.connect(host="127.0.0.1", port=port, user="app", database="pgbouncer", ssl=False)
    for _ in range(2):
        row = (await conn.fetch("SHOW POOLS"))[-1]
    print("asyncpg", row["database"], type(row["cl_active"]).__name__, row["cl_active"])
    row = (await conn.fetch("SHOW STATS"))[-1]
    print("asyncpg", type(row["total_xact_count"]).__name__, int(row["total_xact_count"]) > 10)
    print("asyncpg", await conn.execute("RELOAD"), await conn.fetchval("SELECT 1"))
    await conn.close()
asyncio.run(main())
"#;

#[test]
fn psycopg_and_asyncpg_talk_to_it_as_to_any_database() {
    let scene = scene("");
    for port in scene.ports() {
        let printed = python::run(DRIVERS, &[&port.to_string()]);
        let expected = "psycopg pgbouncer int 1\n\
                        psycopg invalid command 'SHOW NOTHING', use SHOW HELP;\n\
                        psycopg pgbouncer Decimal\n\
                        psycopg [('active', 'yes'), ('paused', 'no'), ('suspended', 'no')]\n\
                        asyncpg pgbouncer int 1\n\
                        asyncpg Decimal True\n\
                        asyncpg RELOAD 1\n";
        assert_eq!(printed, expected);
    }
}

/// node-postgres, over the simple protocol and over the extended one.
const NODE: &str = r#"
const { Client } = require("pg");
const port = Number(process.argv[1]);
(async () => {
  const client = new Client({ host: "127.0.0.1", port, user: "app", database: "pgbouncer" });
  await client.connect();
  const pools = (await client.query("SHOW POOLS;")).rows;
  console.log(pools.at(-1).database, pools.at(-1).cl_active);
  for (let i = 0; i < 2; i++) {
    const state = await client.query({ name: "state", text: "SHOW STATE", values: [] });
    console.log(state.rows.map((row) => row.key + " " + row.value).join(", "));
  }
  await client.query("SHOW NOTHING").catch((error) => console.log(error.code, error.message));
  await client.end();
})();
"#;

#[test]
fn node_postgres_talks_to_it_too() {
    let scene = scene("");
    for port in scene.ports() {
        let printed = node::run(NODE, &[&port.to_string()]);
        let expected = "pgbouncer 1\n\
                        active yes, paused no, suspended no\n\
                        active yes, paused no, suspended no\n\
                        42601 invalid command 'SHOW NOTHING', use SHOW HELP;\n";
        assert_eq!(printed, expected);
    }
}

#[test]
fn what_comes_all_at_once_is_answered_one_after_another() {
    let scene = scene("");
    let mut console = console(scene.gate.session);
    let mut batch = Batch::new();
    for _ in 0..500 {
        batch = batch.query("SHOW CONFIG");
    }
    console.send(batch.query("SELECT 7").bytes());
    for _ in 0..500 {
        let rows = console.until_ready();
        assert!(rows.len() > 60, "a whole table each time");
    }
    assert_eq!(console.tags(), "TDCZI");
    assert_eq!(show(&mut console, "STATE").rows.len(), 3);
    assert_eq!(left(&scene), 1);
}

/// How many clients there are.
fn left(scene: &Scene) -> u64 {
    super::snapshot(scene)["clients"].as_u64().expect("a number")
}
