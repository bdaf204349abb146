"""psycopg with a `prepare_threshold` of the team's choice: 0 names every statement, None none."""
import sys, threading
import psycopg

url = sys.argv[1]
threshold = None if sys.argv[2] == "None" else int(sys.argv[2])

def show(*what):
    print(*what, flush=True)

def connect(**options):
    return psycopg.connect(url, prepare_threshold=threshold, **options)

with connect() as conn, connect() as other:
    conn.execute("CREATE TABLE t (n int PRIMARY KEY, s text)")
    conn.commit()

    # Both connections name the same statements; transactions of one lie between those of the other.
    for i in range(20):
        for each in (conn, other):
            each.execute("INSERT INTO t VALUES (%s, %s)", (2 * i + (each is other), f"row {i}"))
            each.execute("SELECT n FROM t WHERE n = %s", (i,)).fetchone()
            each.commit()
    show(conn.execute("SELECT count(*), sum(n) FROM t").fetchone())
    conn.rollback()

    # As a deployment does it while the others go on.
    with connect(autocommit=True) as admin:
        for ddl in ("ALTER TABLE t ADD COLUMN price numeric NOT NULL DEFAULT 1.5",
                    "CREATE INDEX CONCURRENTLY t_s ON t (s)",
                    "CREATE TABLE parent (id int)", "DROP TABLE parent", "ANALYZE t"):
            admin.execute(ddl)
            for each in (conn, other):
                show(each.execute("SELECT n FROM t WHERE n = %s", (3,)).fetchone(),
                     each.execute("SELECT count(*) FROM t").fetchone())
                each.commit()
    # psycopg forgets its statements on a rollback and on a DROP of its own: DEALLOCATE ALL.
    for each in (conn, other):
        each.execute("CREATE TABLE parent (id int)")
        each.execute("INSERT INTO parent VALUES (%s)", (1,))
        show(each.execute("SELECT id FROM parent WHERE id = %s", (1,)).fetchone())
        each.execute("DROP TABLE parent")
        show(each.execute("SELECT n FROM t WHERE n = %s", (4,)).fetchone())
        each.rollback()
        show(each.execute("SELECT n FROM t WHERE n = %s", (5,)).fetchone())
        each.commit()
        for attempt in range(3):
            try:
                each.execute("INSERT INTO t VALUES (%s, %s)", (attempt, "twice"))
            except psycopg.errors.UniqueViolation as error:
                show(error.sqlstate)
            each.rollback()
            try:
                each.execute("SELECT %s::int / 0", (attempt,))
            except psycopg.errors.DivisionByZero as error:
                show(error.sqlstate)
            each.rollback()

    # More statements than psycopg keeps: it closes the oldest.
    for round in range(2):
        total = 0
        for i in range(150):
            total += conn.execute(f"SELECT %s::int + {i}", (round,)).fetchone()[0]
            if i % 10 == 0:
                conn.commit()
        show(total)
    conn.commit()

    # The same parameters in other types are other statements.
    for value in (1, 2**17, 2**40, 2**70, 0.5, True, [1, 2], 1):
        show(conn.execute("SELECT %s, pg_typeof(%s)::text", (value, value)).fetchone())
    conn.commit()

    with conn.pipeline() as pipeline:
        cursors = [conn.execute("SELECT s FROM t WHERE n = %s", (i,)) for i in range(30)]
        conn.execute("UPDATE t SET price = price * 2 WHERE n = %s", (1,))
        pipeline.sync()
        cursors.append(conn.execute("SELECT price FROM t WHERE n = %s", (1,)))
    show([cursor.fetchone() for cursor in cursors])
    conn.commit()
    for attempt in range(3):
        try:
            with conn.pipeline():
                conn.execute("UPDATE t SET price = 0 WHERE n = %s", (2,))
                conn.execute("SELECT %s::int / 0", (1,))
                conn.execute("SELECT s FROM t WHERE n = %s", (3,))
        except psycopg.errors.DivisionByZero as error:
            show("pipeline", error.sqlstate)
        conn.rollback()
    show(conn.execute("SELECT price FROM t WHERE n = %s", (2,)).fetchone())
    conn.rollback()
    other.cursor().executemany("INSERT INTO t VALUES (%s, %s)", [(n, "m") for n in range(500, 600)])
    other.commit()

    with conn.cursor("named") as cursor:
        cursor.execute("SELECT n FROM t WHERE n >= %s ORDER BY n", (500,))
        show(sum(row[0] for row in cursor))
    conn.commit()
    with conn.cursor().copy("COPY (SELECT n FROM t WHERE n >= 590 ORDER BY n) TO STDOUT") as copy:
        show(b"".join(copy).split())
    conn.commit()

results = []
def work(number):
    with connect() as conn:
        for i in range(30):
            row = conn.execute("SELECT %s::int * %s::int", (number, i)).fetchone()
            results.append(row[0])
            conn.commit() if i % 3 else conn.rollback()
threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
show(len(results), sum(results))
show("done")
