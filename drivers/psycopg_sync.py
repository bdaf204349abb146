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
