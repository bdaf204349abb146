//! The drivers that people use, through both ports: each runs the same script directly and
//! through the gate, and what it prints must be the same.

use std::future::poll_fn;
use std::time::Duration;

use tidegate_scratch::ClusterOptions;
use tidegate_testkit::python;
use tidegate_testkit::scene::{APP, Scene, cluster};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, SimpleQueryMessage};

/// Passwords as in production: drivers must get through the login as well.
fn scene() -> Scene {
    let cluster = cluster(ClusterOptions::default());
    let url = cluster.url(APP, "secret", APP);
    Scene::with(env!("CARGO_BIN_EXE_tidegate"), cluster, &url, "plan = \"free\"", &[])
}

/// The port of PostgreSQL, of sessions, of transactions.
fn ports(scene: &Scene) -> [u16; 3] {
    [scene.cluster.port(), scene.gate.session, scene.gate.transaction]
}

/// Runs a Python script against each port, twice against those of the gate: the second run finds
/// servers that others have used.
fn compare(script: &str, scheme: &str) {
    let scene = scene();
    let [direct, session, transaction] = ports(&scene);
    let run = |port: u16| {
        scene.cluster.sql_in(APP, "DROP TABLE IF EXISTS t, parent CASCADE").expect("dropped");
        let url = format!("{scheme}://{APP}:secret@127.0.0.1:{port}/{APP}");
        python::run(script, &[&url])
    };
    let expected = run(direct);
    assert!(expected.ends_with("done\n"), "{expected}");
    for (port, name) in [(session, "session"), (transaction, "transaction")] {
        for nth in 1..=2 {
            assert_eq!(run(port), expected, "{name} port, run {nth}");
        }
    }
    // Whatever the drivers left behind, servers are at rest.
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND state <> 'idle'";
    scene.until(busy, "0");
}

#[test]
fn psycopg() {
    compare(PSYCOPG, "postgresql");
}

const PSYCOPG: &str = r#"
import sys, threading
import psycopg
from psycopg import sql

url = sys.argv[1]

def show(*what):
    print(*what, flush=True)

with psycopg.connect(url, autocommit=True, application_name="drivers") as conn:
    show(conn.info.parameter_status("application_name"), conn.info.server_version)
    show(conn.execute("SELECT 1, 'é', NULL, 1.5::numeric, ARRAY[1,2], '{\"a\": 1}'::jsonb").fetchall())
    show(conn.execute("SELECT %s::int8, %s::timestamptz, %s::bytea",
                      (2**40, "2020-02-02 02:02:02+00", b"\x00\xff")).fetchall())
    with conn.cursor(binary=True) as cur:
        show(cur.execute("SELECT %s::float8, %s::text, now() - now()", (0.1, "x")).fetchall())
    for i in range(8):
        show(conn.execute("SELECT %s::int + 1", (i,), prepare=True).fetchone())
    conn.execute("CREATE TABLE t (n int PRIMARY KEY, s text)")
    cur = conn.cursor()
    cur.executemany("INSERT INTO t VALUES (%s, %s)", [(i, f"row {i}") for i in range(10)])
    show(cur.rowcount)
    cur.executemany("INSERT INTO t VALUES (%s, %s) RETURNING n", [(10, "a"), (11, "b")],
                    returning=True)
    show(cur.fetchone(), cur.nextset(), cur.fetchone())
    try:
        with conn.transaction():
            conn.execute("INSERT INTO t VALUES (100, 'gone')")
            with conn.transaction() as inner:
                conn.execute("INSERT INTO t VALUES (101, 'gone sooner')")
                raise psycopg.Rollback(inner)
            show(conn.execute("SELECT count(*) FROM t").fetchone())
            conn.execute("SELECT 1/0")
    except psycopg.errors.DivisionByZero as error:
        show(error.sqlstate, error.diag.message_primary)
    show(conn.execute("SELECT count(*) FROM t").fetchone(), conn.info.transaction_status.name)
    for bad in ("SELEC 1", "SELECT * FROM nowhere", "INSERT INTO t VALUES (1, 'twice')"):
        try:
            conn.execute(bad)
        except psycopg.Error as error:
            show(type(error).__name__, error.sqlstate)

    with conn.pipeline() as pipeline:
        cursors = [conn.execute("SELECT %s::int * 2", (i,)) for i in range(20)]
        pipeline.sync()
        cursors.append(conn.execute("INSERT INTO t VALUES (200, 'pipelined')"))
        cursors.append(conn.execute("SELECT count(*) FROM t"))
    show([c.fetchone() for c in cursors if c.description])
    try:
        with conn.pipeline():
            conn.execute("INSERT INTO t VALUES (201, 'in a pipeline that fails')")
            conn.execute("SELECT 1/0")
            conn.execute("SELECT 1")
    except psycopg.errors.DivisionByZero as error:
        show("pipeline", error.sqlstate)
    show(conn.execute("SELECT count(*) FROM t").fetchone(), conn.info.transaction_status.name)

    with cur.copy("COPY t (n, s) FROM STDIN") as copy:
        for i in range(1000, 3000):
            copy.write_row((i, "x" * 100))
    with cur.copy("COPY (SELECT n, length(s) FROM t WHERE n >= 1000 ORDER BY n) TO STDOUT") as copy:
        rows = list(copy.rows())
    show(len(rows), rows[0], rows[-1])
    with cur.copy("COPY t (n, s) FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(["int4", "text"])
        copy.write_row((3000, "binary"))
    try:
        with cur.copy("COPY t (n, s) FROM STDIN") as copy:
            copy.write_row((1, "twice"))
    except psycopg.errors.UniqueViolation as error:
        show("copy", error.sqlstate)
    try:
        with cur.copy("COPY t (n, s) FROM STDIN") as copy:
            copy.write_row((4000, "never"))
            raise RuntimeError("the application fails in the midst of it")
    except RuntimeError as error:
        show(error)
    show(conn.execute("SELECT count(*), max(n) FROM t").fetchone())

    with conn.transaction():
        with conn.cursor("named") as cursor:
            cursor.itersize = 100
            cursor.execute("SELECT n FROM t ORDER BY n")
            show(sum(row[0] for row in cursor))
    with conn.cursor("scroll", scrollable=True, withhold=True) as cursor:
        cursor.execute("SELECT n FROM t ORDER BY n")
        cursor.scroll(5)
        show(cursor.fetchmany(2))

    conn.execute("LISTEN channel")
    conn.execute("NOTIFY channel, 'to myself'")
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("NOTIFY channel, 'from another'")
    show([(n.channel, n.payload) for n in conn.notifies(timeout=20, stop_after=2)])
    conn.execute("UNLISTEN *")

    cancelled = threading.Event()
    def cancel():
        while not cancelled.wait(0.05):
            conn.cancel_safe()
    canceller = threading.Thread(target=cancel)
    canceller.start()
    try:
        conn.execute("SELECT pg_sleep(100)")
    except psycopg.errors.QueryCanceled as error:
        show("cancel", error.sqlstate)
    cancelled.set()
    canceller.join()
    show(conn.execute("SELECT 'still here'").fetchone())

with psycopg.connect(url) as conn:
    conn.execute("INSERT INTO t VALUES (-1, 'rolled back')")
    conn.rollback()
    conn.execute("INSERT INTO t VALUES (-2, 'committed')")
    conn.commit()
    conn.execute("SET LOCAL statement_timeout = '77s'")
    show(conn.execute("SHOW statement_timeout").fetchone())
    conn.commit()
    show(conn.execute("SHOW statement_timeout").fetchone())
    show(conn.execute("SELECT n FROM t WHERE n < 0").fetchall())
    conn.rollback()
    conn.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
    show(conn.execute("SHOW transaction_isolation").fetchone())
    show(conn.execute(sql.SQL("SELECT {}").format(sql.Literal("it's"))).fetchone())
with psycopg.connect(url, options="-c search_path=pg_catalog -c work_mem=1234kB") as conn:
    show(conn.execute("SELECT current_setting('search_path'), current_setting('work_mem')").fetchone())
show("done")
"#;

#[test]
fn psycopg_async() {
    compare(PSYCOPG_ASYNC, "postgresql");
}

const PSYCOPG_ASYNC: &str = r#"
import asyncio, sys
import psycopg

url = sys.argv[1]

async def worker(number):
    async with await psycopg.AsyncConnection.connect(url) as conn:
        total = 0
        for i in range(20):
            async with conn.transaction():
                cur = await conn.execute("SELECT %s::int * %s::int", (number, i))
                total += (await cur.fetchone())[0]
        return total

async def main():
    print(sorted(await asyncio.gather(*(worker(i) for i in range(30)))), flush=True)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        await conn.execute("CREATE TABLE t (n int, s text)")
        async with conn.cursor() as cur:
            async with cur.copy("COPY t FROM STDIN") as copy:
                for i in range(100):
                    await copy.write_row((i, str(i)))
            async with cur.copy("COPY t TO STDOUT") as copy:
                size = 0
                async for data in copy:
                    size += len(data)
            print(size)
        async with conn.pipeline():
            cursors = [await conn.execute("SELECT count(*) + %s FROM t", (i,)) for i in range(5)]
            print([await c.fetchone() for c in cursors])
        async with conn.transaction(), conn.cursor("named") as cur:
            await cur.execute("SELECT n FROM t ORDER BY n")
            print(sum([row[0] async for row in cur]))
        await conn.execute("LISTEN channel")
        await conn.execute("SELECT pg_notify('channel', 'hello')")
        async for notify in conn.notifies(timeout=20, stop_after=1):
            print(notify.channel, notify.payload)
        query = asyncio.create_task(conn.execute("SELECT pg_sleep(100)"))
        while not query.done():
            await asyncio.wait([query], timeout=0.05)
            if not query.done():
                await conn.cancel_safe()
        print(type(query.exception()).__name__)
        print(await (await conn.execute("SELECT 'still here'")).fetchone())
        # A task that is cancelled takes its query with it.
        try:
            await asyncio.wait_for(conn.execute("SELECT pg_sleep(100)"), 0.2)
        except TimeoutError:
            print("timed out")
        print(await (await conn.execute("SELECT 'still here'")).fetchone())
    print("done")

asyncio.run(main())
"#;

#[test]
fn asyncpg() {
    compare(ASYNCPG, "postgresql");
}

const ASYNCPG: &str = r#"
import asyncio, datetime, decimal, io, sys
import asyncpg

url = sys.argv[1]

async def many(number):
    conn = await asyncpg.connect(url)
    total = 0
    for i in range(20):
        async with conn.transaction():
            total += await conn.fetchval("SELECT $1::int * $2::int", number, i)
    await conn.close()
    return total

async def main():
    conn = await asyncpg.connect(url, server_settings={"application_name": "drivers"})
    print(conn.get_settings().application_name, conn.get_server_version().major)
    print(await conn.fetchrow("SELECT 1, 'é', NULL, 1.5::numeric, ARRAY[1,2], '{\"a\": 1}'::jsonb"))
    print(await conn.fetch("SELECT $1::int8, $2::timestamptz, $3::bytea, $4::numeric", 2**40,
          datetime.datetime(2020, 2, 2, tzinfo=datetime.timezone.utc), b"\x00\xff",
          decimal.Decimal("0.1")))
    await conn.execute("CREATE TABLE t (n int PRIMARY KEY, s text); CREATE INDEX ON t (s)")
    await conn.executemany("INSERT INTO t VALUES ($1, $2)", [(i, f"row {i}") for i in range(100)])
    statement = await conn.prepare("SELECT s FROM t WHERE n = $1")
    print([await statement.fetchval(i) for i in range(5)], statement.get_parameters()[0].name)
    for i in range(10):
        assert await conn.fetchval("SELECT n FROM t WHERE n = $1", i) == i
    try:
        async with conn.transaction():
            await conn.execute("INSERT INTO t VALUES (1000, 'gone')")
            async with conn.transaction():
                await conn.execute("INSERT INTO t VALUES (1001, 'gone')")
            await conn.fetch("SELECT 1/0")
    except asyncpg.DivisionByZeroError as error:
        print(error.sqlstate, conn.is_in_transaction())
    print(await conn.fetchval("SELECT count(*) FROM t"))
    for bad in ("SELEC 1", "SELECT * FROM nowhere", "INSERT INTO t VALUES (1, 'twice')"):
        try:
            await conn.fetch(bad)
        except asyncpg.PostgresError as error:
            print(type(error).__name__, error.sqlstate)
    async with conn.transaction():
        print(sum([row["n"] async for row in conn.cursor("SELECT n FROM t", prefetch=7)]))
        cursor = await conn.cursor("SELECT n FROM t ORDER BY n")
        await cursor.forward(10)
        print(await cursor.fetch(2))
    print(await conn.copy_records_to_table("t", records=[(i, "copied") for i in range(2000, 5000)]))
    out = io.BytesIO()
    print(await conn.copy_from_query("SELECT n FROM t WHERE n >= $1 ORDER BY n", 2000, output=out))
    print(len(out.getvalue()))
    try:
        await conn.copy_records_to_table("t", records=[(1, "twice")])
    except asyncpg.UniqueViolationError as error:
        print("copy", error.sqlstate)
    heard = asyncio.Queue()
    await conn.add_listener("channel", lambda _c, _pid, channel, payload: heard.put_nowait((channel, payload)))
    await conn.execute("NOTIFY channel, 'hello'")
    other = await asyncpg.connect(url)
    await other.execute("NOTIFY channel, 'from another'")
    await other.close()
    print(sorted([await asyncio.wait_for(heard.get(), 20) for _ in range(2)]))
    try:
        await conn.fetch("SELECT pg_sleep(100)", timeout=0.2)
    except TimeoutError:
        print("timed out")
    print(await conn.fetchval("SELECT 'still here'"))
    await conn.set_type_codec("json", encoder=str, decoder=len, schema="pg_catalog")
    print(await conn.fetchval("SELECT '[1,2,3]'::json"))
    await conn.reset()
    print(await conn.fetchval("SELECT 'reset'"))
    await conn.close()

    print(sorted(await asyncio.gather(*(many(i) for i in range(30)))))
    async with asyncpg.create_pool(url, min_size=2, max_size=5) as pool:
        async def one(i):
            async with pool.acquire() as conn:
                async with conn.transaction():
                    return await conn.fetchval("SELECT $1::int", i)
        print(sum(await asyncio.gather(*(one(i) for i in range(100)))))
    print("done")

asyncio.run(main())
"#;

#[test]
fn asyncpg_without_named_statements() {
    compare(ASYNCPG_UNNAMED, "postgresql");
}

/// As people are told to configure it behind a pooler.
const ASYNCPG_UNNAMED: &str = r#"
import asyncio, sys
import asyncpg

url = sys.argv[1]

async def worker(number):
    conn = await asyncpg.connect(url, statement_cache_size=0)
    total = 0
    for i in range(50):
        total += await conn.fetchval("SELECT $1::int * $2::int", number, i)
    await conn.close()
    return total

async def main():
    print(sorted(await asyncio.gather(*(worker(i) for i in range(40)))))
    print("done")

asyncio.run(main())
"#;

#[test]
fn sqlalchemy_with_psycopg() {
    compare(SQLALCHEMY, "postgresql+psycopg");
}

const SQLALCHEMY: &str = r#"
import sys, threading
from sqlalchemy import (Column, ForeignKey, Integer, MetaData, String, Table, create_engine, func,
                        inspect, select, text)
from sqlalchemy.exc import IntegrityError, ProgrammingError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

url = sys.argv[1]

class Base(DeclarativeBase):
    pass

class Parent(Base):
    __tablename__ = "parent"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    rows: Mapped[list["Row"]] = relationship(back_populates="parent")

class Row(Base):
    __tablename__ = "t"
    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int] = mapped_column(ForeignKey("parent.id"))
    parent: Mapped[Parent] = relationship(back_populates="rows")

engine = create_engine(url, pool_pre_ping=True, pool_size=5, max_overflow=10)
Base.metadata.create_all(engine)
print(sorted(inspect(engine).get_table_names()), inspect(engine).get_unique_constraints("parent"))
with Session(engine) as session:
    session.add_all([Parent(name=f"p{i}", rows=[Row() for _ in range(3)]) for i in range(50)])
    session.commit()
    print(session.scalar(select(func.count()).select_from(Row)))
    session.add(Parent(name="p1"))
    try:
        session.commit()
    except IntegrityError as error:
        print(error.orig.sqlstate)
        session.rollback()
    print(session.scalars(select(Parent.name).order_by(Parent.id).limit(3)).all())
    with session.begin_nested() as nested:
        session.add(Parent(name="nested"))
        session.flush()
        nested.rollback()
    print(session.scalar(select(func.count()).select_from(Parent)))
    print(len(session.scalars(select(Parent).where(Parent.name == "p7")).one().rows))

with engine.connect() as conn:
    try:
        conn.execute(text("SELECT * FROM nowhere"))
    except ProgrammingError as error:
        print(error.orig.sqlstate)
        conn.rollback()
    rows = conn.execution_options(yield_per=10).execute(select(Row.id).order_by(Row.id))
    print(sum(row[0] for row in rows))
with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
    print(conn.execute(text("SELECT 42")).scalar())
with engine.connect().execution_options(isolation_level="REPEATABLE READ") as conn:
    print(conn.execute(text("SHOW transaction_isolation")).scalar())

results = []
def work(number):
    for i in range(20):
        with engine.begin() as conn:
            results.append(conn.execute(text("SELECT :a * :b"), {"a": number, "b": i}).scalar())
threads = [threading.Thread(target=work, args=(i,)) for i in range(20)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(results), sum(results))
engine.dispose()
print("done")
"#;

#[test]
fn sqlalchemy_with_asyncpg() {
    compare(SQLALCHEMY_ASYNC, "postgresql+asyncpg");
}

const SQLALCHEMY_ASYNC: &str = r#"
import asyncio, sys
from sqlalchemy import Column, Integer, MetaData, String, Table, func, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

url = sys.argv[1]
metadata = MetaData()
t = Table("t", metadata, Column("n", Integer, primary_key=True), Column("s", String))

async def main():
    engine = create_async_engine(url, pool_pre_ping=True, pool_size=5, max_overflow=10)
    async with engine.begin() as conn:
        await conn.run_sync(metadata.create_all)
        await conn.execute(insert(t), [{"n": i, "s": f"row {i}"} for i in range(500)])
    async with engine.connect() as conn:
        print((await conn.execute(select(func.count()).select_from(t))).scalar())
        try:
            await conn.execute(insert(t).values(n=1, s="twice"))
        except IntegrityError as error:
            print(error.orig.sqlstate)
        await conn.rollback()
        try:
            await conn.execute(text("SELECT 1/0"))
        except DBAPIError as error:
            print(error.orig.sqlstate)
        await conn.rollback()
        result = await conn.stream(select(t.c.n).order_by(t.c.n))
        print(sum([row[0] async for row in result]))
    sessions = async_sessionmaker(engine)

    async def work(number):
        total = 0
        for i in range(20):
            async with sessions() as session, session.begin():
                total += await session.scalar(text("SELECT CAST(:a AS int) * CAST(:b AS int)"),
                                              {"a": number, "b": i})
        return total
    print(sum(await asyncio.gather(*(work(i) for i in range(30)))))
    await engine.dispose()
    print("done")

asyncio.run(main())
"#;

// --- tokio-postgres. ---

async fn connect(port: u16) -> (Client, UnboundedReceiver<(String, String)>) {
    let mut config = Config::new();
    config.host("127.0.0.1").port(port).user(APP).password("secret").dbname(APP);
    config.application_name("drivers");
    let (client, mut connection) = config.connect(NoTls).await.expect("it connects");
    let (heard, hearing) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(said) = message {
                let _ = heard.send((said.channel().to_owned(), said.payload().to_owned()));
            }
        }
    });
    (client, hearing)
}

/// What a client of `port` sees.
async fn transcript(port: u16) -> Vec<String> {
    let mut seen = Vec::new();
    let (mut client, mut heard) = connect(port).await;
    simple(&client, &mut seen).await;
    extended(&client, &mut seen).await;
    transactions(&mut client, &mut seen).await;
    copies(&client, &mut seen).await;

    client.batch_execute("LISTEN channel").await.expect("it listens");
    client.batch_execute("NOTIFY channel, 'to myself'").await.expect("it notifies");
    let (other, _) = connect(port).await;
    other.batch_execute("NOTIFY channel, 'from another'").await.expect("it notifies");
    for _ in 0..2 {
        let said = tokio::time::timeout(Duration::from_secs(20), heard.recv()).await;
        seen.push(format!("{said:?}"));
    }

    // Cancelled again and again until it hits: a cancel that finds nothing does nothing.
    let token = client.cancel_token();
    let query = client.query("SELECT pg_sleep(100)", &[]);
    tokio::pin!(query);
    let cancelled = loop {
        tokio::select! {
            ended = &mut query => break ended,
            () = tokio::time::sleep(Duration::from_millis(50)) => {
                token.cancel_query(NoTls).await.expect("the request is taken");
            }
        }
    };
    seen.push(code(&cancelled.expect_err("it was cancelled")));
    let row = client.query_one("SELECT 'still here'", &[]).await.expect("it goes on");
    seen.push(row.get(0));
    seen
}

fn code(error: &tokio_postgres::Error) -> String {
    let error = error.as_db_error().unwrap_or_else(|| panic!("not PostgreSQL's: {error:?}"));
    format!("{} {}", error.code().code(), error.message())
}

async fn simple(client: &Client, seen: &mut Vec<String>) {
    let sql = "DROP TABLE IF EXISTS t; CREATE TABLE t (n int PRIMARY KEY, s text); \
               INSERT INTO t VALUES (1, 'one'), (2, NULL); SELECT * FROM t ORDER BY n";
    for message in client.simple_query(sql).await.expect("it is right") {
        seen.push(match message {
            SimpleQueryMessage::Row(row) => format!("{:?} {:?}", row.get(0), row.get(1)),
            SimpleQueryMessage::CommandComplete(count) => format!("{count} rows"),
            other => format!("{other:?}"),
        });
    }
    for bad in ["SELEC 1", "SELECT 1/0", "INSERT INTO t VALUES (1, 'twice')", "SELECT 1; SELEC"] {
        seen.push(code(&client.simple_query(bad).await.expect_err(bad)));
    }
}

async fn extended(client: &Client, seen: &mut Vec<String>) {
    let statement = client
        .prepare_typed("SELECT $1, s, $2::text[], 0.1::float8 FROM t WHERE n = $1", &[Type::INT4])
        .await
        .expect("it is right");
    for column in statement.columns() {
        seen.push(format!("{} {}", column.name(), column.type_()));
    }
    for n in [1, 2, 3] {
        let rows = client.query(&statement, &[&n, &vec!["a", "b"]]).await.expect("it is right");
        for row in rows {
            let (n, s): (i32, Option<String>) = (row.get(0), row.get(1));
            let (list, float): (Vec<String>, f64) = (row.get(2), row.get(3));
            seen.push(format!("{n} {s:?} {list:?} {float}"));
        }
    }
    // A pipeline: all are sent before the first answer, and one of them fails.
    type Values<'a> = &'a [&'a (dyn ToSql + Sync)];
    let (long, bytes) = ("x".repeat(100_000), vec![0_u8, 255]);
    let (one, two): (Values<'_>, Values<'_>) = (&[&long], &[&bytes]);
    let (a, b, c, d) = tokio::join!(
        client.query_one("SELECT 1::int8 + $1", &[&41_i64]),
        client.query_one("SELECT length($1::text)", one),
        client.query("SELECT 1 / (n - 1) FROM t", &[]),
        client.query_one("SELECT $1::bytea", two),
    );
    let length: i32 = b.expect("it is right").get(0);
    seen.push(format!("{} {length}", a.expect("it is right").get::<_, i64>(0)));
    seen.push(code(&c.expect_err("a division by zero")));
    seen.push(format!("{:?}", d.expect("it is right").get::<_, Vec<u8>>(0)));
}

async fn transactions(client: &mut Client, seen: &mut Vec<String>) {
    let mut transaction = client.transaction().await.expect("it begins");
    transaction.execute("INSERT INTO t VALUES (10, 'ten')", &[]).await.expect("inserted");
    let savepoint = transaction.transaction().await.expect("a savepoint");
    savepoint.execute("SELECT 1/0", &[]).await.expect_err("a division by zero");
    savepoint.rollback().await.expect("rolled back");
    let portal = transaction.bind("SELECT n FROM t ORDER BY n", &[]).await.expect("a portal");
    for _ in 0..3 {
        let rows = transaction.query_portal(&portal, 1).await.expect("a row");
        seen.push(format!("{:?}", rows.iter().map(|row| row.get(0)).collect::<Vec<i32>>()));
    }
    transaction.commit().await.expect("committed");
    let transaction = client.transaction().await.expect("it begins");
    transaction.execute("DELETE FROM t", &[]).await.expect("deleted");
    drop(transaction); // Rolls back.
    let count = client.query_one("SELECT count(*) FROM t", &[]).await.expect("it is right");
    seen.push(format!("{}", count.get::<_, i64>(0)));
}

async fn copies(client: &Client, seen: &mut Vec<String>) {
    let sink = client.copy_in("COPY t FROM STDIN BINARY").await.expect("it begins");
    let writer = BinaryCopyInWriter::new(sink, &[Type::INT4, Type::TEXT]);
    tokio::pin!(writer);
    for n in 1000..3000 {
        writer.as_mut().write(&[&n, &"x".repeat(100)]).await.expect("it is taken");
    }
    seen.push(format!("{} copied", writer.finish().await.expect("it ends")));
    let sink = client.copy_in("COPY t FROM STDIN BINARY").await.expect("it begins");
    let writer = BinaryCopyInWriter::new(sink, &[Type::INT4, Type::TEXT]);
    tokio::pin!(writer);
    writer.as_mut().write(&[&1, &"twice"]).await.expect("it is taken");
    seen.push(code(&writer.finish().await.expect_err("a key that is there")));
    // Dropped before its end: the driver says CopyFail.
    let sink = client.copy_in::<_, std::io::Cursor<Vec<u8>>>("COPY t FROM STDIN").await;
    drop(sink.expect("it begins"));
    let count = client.query_one("SELECT count(*), sum(n) FROM t", &[]).await.expect("it is right");
    seen.push(format!("{} {}", count.get::<_, i64>(0), count.get::<_, i64>(1)));
    let out = client.copy_out("COPY t TO STDOUT").await.expect("it begins");
    drop(out); // The rest is read and thrown away.
    seen.push(client.query_one("SELECT 'after the copies'", &[]).await.expect("it goes on").get(0));
}

#[test]
fn tokio_postgres() {
    let scene = scene();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let [direct, session, transaction] = ports(&scene);
    let expected = runtime.block_on(transcript(direct));
    for (port, name) in [(session, "session"), (transaction, "transaction")] {
        for nth in 1..=2 {
            let seen = runtime.block_on(transcript(port));
            assert_eq!(seen, expected, "{name} port, run {nth}");
        }
    }
}
