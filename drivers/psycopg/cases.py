"""What psycopg's documentation promises, each as a case: transactions, two-phase commit, cursors,
prepared statements, pipelines, copies, types, notifications, and psycopg_pool."""
import asyncio, datetime, decimal, ipaddress, threading, uuid
import psycopg
from psycopg import ClientCursor, IsolationLevel, RawCursor, errors, sql
from psycopg.pq import TransactionStatus
from psycopg.rows import class_row, dict_row, scalar_row
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo, register_enum
from psycopg.types.json import Jsonb
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range
from psycopg_pool import AsyncConnectionPool, ConnectionPool, NullConnectionPool, PoolTimeout

def _table(url, rows=0):
    with psycopg.connect(url) as conn:
        conn.execute("CREATE TABLE t (n int PRIMARY KEY, s text)")
        conn.execute("INSERT INTO t SELECT n, 'row ' || n FROM generate_series(1, %s) AS n", (rows,))

def _count(url):
    with psycopg.connect(url, row_factory=scalar_row) as conn:
        return conn.execute("SELECT count(*) FROM t").fetchone()

def _raises(error, run):
    try:
        run()
    except error as raised:
        return raised
    raise AssertionError(f"no {error.__name__}")

# --- Transactions. ---

def a_connection_that_ends_well_commits_and_one_that_ends_badly_rolls_back(url):
    _table(url)
    with psycopg.connect(url) as conn:
        conn.execute("INSERT INTO t VALUES (1)")
    def fail():
        with psycopg.connect(url) as conn:
            conn.execute("INSERT INTO t VALUES (2)")
            raise ZeroDivisionError
    _raises(ZeroDivisionError, fail)
    assert _count(url) == 1

def a_connection_that_is_closed_without_a_commit_leaves_nothing(url):
    _table(url)
    conn = psycopg.connect(url)
    conn.execute("INSERT INTO t VALUES (1)")
    conn.close()
    assert _count(url) == 0

def an_error_fails_the_transaction_until_it_is_rolled_back(url):
    _table(url, 1)
    with psycopg.connect(url) as conn:
        _raises(errors.UniqueViolation, lambda: conn.execute("INSERT INTO t VALUES (1)"))
        assert conn.info.transaction_status == TransactionStatus.INERROR
        _raises(errors.InFailedSqlTransaction, lambda: conn.execute("SELECT 1"))
        conn.rollback()
        assert conn.info.transaction_status == TransactionStatus.IDLE
        assert conn.execute("SELECT 1").fetchone() == (1,)

def nested_transactions_are_savepoints_that_roll_back_alone(url):
    _table(url)
    with psycopg.connect(url) as conn:
        with conn.transaction():
            conn.execute("INSERT INTO t VALUES (1)")
            for n in (2, 3):
                def inner():
                    with conn.transaction():
                        conn.execute("INSERT INTO t VALUES (%s)", (n,))
                        with conn.transaction(f"named {n}"):
                            conn.execute("INSERT INTO t VALUES (%s)", (10 * n,))
                        conn.execute("SELECT 1 / %s", (n - 3,))
                inner() if n == 2 else _raises(errors.DivisionByZero, inner)
    with psycopg.connect(url, row_factory=scalar_row) as conn:
        assert conn.execute("SELECT n FROM t ORDER BY n").fetchall() == [1, 2, 20]

def a_rollback_exception_ends_just_its_own_block(url):
    _table(url)
    with psycopg.connect(url) as conn:
        with conn.transaction() as outer:
            conn.execute("INSERT INTO t VALUES (1)")
            with conn.transaction():
                conn.execute("INSERT INTO t VALUES (2)")
                raise psycopg.Rollback()
            with conn.transaction():
                conn.execute("INSERT INTO t VALUES (3)")
                raise psycopg.Rollback(outer)
    assert _count(url) == 0

def a_transaction_can_be_forced_to_roll_back(url):
    _table(url)
    with psycopg.connect(url, autocommit=True) as conn:
        with conn.transaction(force_rollback=True):
            conn.execute("INSERT INTO t VALUES (1)")
        assert conn.execute("SELECT count(*) FROM t").fetchone() == (0,)

def autocommit_can_be_switched_between_transactions(url):
    _table(url)
    with psycopg.connect(url) as conn:
        conn.execute("INSERT INTO t VALUES (1)")
        _raises(psycopg.ProgrammingError, lambda: setattr(conn, "autocommit", True))
        conn.commit()
        conn.autocommit = True
        conn.execute("INSERT INTO t VALUES (2)")
        assert conn.info.transaction_status == TransactionStatus.IDLE
        conn.execute("VACUUM t")  # Which is refused in a transaction.
        conn.rollback()
    assert _count(url) == 2

def the_characteristics_of_a_connection_hold_in_each_of_its_transactions(url):
    _table(url)
    with psycopg.connect(url) as conn, psycopg.connect(url) as other:
        conn.isolation_level = IsolationLevel.SERIALIZABLE
        conn.read_only = True
        conn.deferrable = True
        for _ in range(3):
            shown = [conn.execute(f"SHOW transaction_{name}").fetchone()[0]
                     for name in ("isolation", "read_only", "deferrable")]
            assert shown == ["serializable", "on", "on"], shown
            _raises(errors.ReadOnlySqlTransaction, lambda: conn.execute("INSERT INTO t VALUES (1)"))
            conn.rollback()
            assert other.execute("SHOW transaction_isolation").fetchone() == ("read committed",)
            other.commit()

def a_serialization_failure_is_seen_and_the_second_attempt_succeeds(url):
    _table(url, 1)
    first, second = psycopg.connect(url), psycopg.connect(url)
    for conn in (first, second):
        conn.isolation_level = IsolationLevel.REPEATABLE_READ
        conn.execute("SELECT * FROM t").fetchall()
    change = "UPDATE t SET s = 'changed' WHERE n = 1"
    first.execute(change)
    first.commit()
    _raises(errors.SerializationFailure, lambda: second.execute(change))
    second.rollback()
    second.execute(change)
    second.commit()
    first.close()
    second.close()

# --- Two-phase commit. ---

def a_prepared_transaction_is_committed_by_who_prepared_it(url):
    _table(url)
    with psycopg.connect(url) as conn:
        conn.tpc_begin(conn.xid(1, "gtrid", "bqual"))
        conn.execute("INSERT INTO t VALUES (1)")
        conn.tpc_prepare()
        assert conn.info.transaction_status == TransactionStatus.IDLE
        conn.tpc_commit()
    assert _count(url) == 1

def a_prepared_transaction_is_committed_by_another_connection(url):
    _table(url)
    conn = psycopg.connect(url)
    conn.tpc_begin(conn.xid(7, "left", "behind"))
    conn.execute("INSERT INTO t VALUES (1)")
    conn.tpc_prepare()
    conn.close()
    assert _count(url) == 0
    with psycopg.connect(url) as conn:
        left = conn.tpc_recover()
        assert [(xid.format_id, xid.gtrid, xid.bqual) for xid in left] == [(7, "left", "behind")]
        conn.tpc_commit(left[0])
    assert _count(url) == 1

def a_two_phase_transaction_rolls_back_before_and_after_it_was_prepared(url):
    _table(url)
    with psycopg.connect(url) as conn:
        for prepare in (False, True):
            conn.tpc_begin("plain name")
            conn.execute("INSERT INTO t VALUES (1)")
            if prepare:
                conn.tpc_prepare()
            conn.tpc_rollback()
        conn.tpc_begin("one phase")
        conn.execute("INSERT INTO t VALUES (2)")
        conn.tpc_commit()
        assert conn.execute("SELECT n FROM t").fetchall() == [(2,)]

# --- Cursors. ---

def a_server_side_cursor_scrolls_in_its_transaction(url):
    _table(url, 100)
    with psycopg.connect(url) as conn:
        with conn.cursor("scrolling", scrollable=True) as cur:
            cur.execute("SELECT n FROM t ORDER BY n")
            assert [row[0] for row in cur.fetchmany(3)] == [1, 2, 3]
            cur.scroll(10)
            assert cur.fetchone() == (14,)
            cur.scroll(0, mode="absolute")
            assert cur.fetchone() == (1,)
            cur.itersize = 7
            assert sum(row[0] for row in cur) == 5049

def two_server_side_cursors_are_read_in_turn(url):
    _table(url, 30)
    with psycopg.connect(url) as conn, conn.cursor("up") as up, conn.cursor("down") as down:
        up.execute("SELECT n FROM t WHERE n > %s ORDER BY n", (0,))
        down.execute("SELECT n FROM t ORDER BY n DESC")
        pairs = [(up.fetchone()[0], down.fetchone()[0]) for _ in range(30)]
        assert pairs == [(n, 31 - n) for n in range(1, 31)]

def a_cursor_with_hold_outlives_its_transaction(url):
    _table(url, 50)
    with psycopg.connect(url) as conn, psycopg.connect(url) as other:
        with conn.cursor("held", withhold=True) as cur:
            cur.execute("SELECT n FROM t ORDER BY n")
            assert cur.fetchmany(5)[-1] == (5,)
            conn.commit()
            for _ in range(3):
                assert other.execute("SELECT count(*) FROM t").fetchone() == (50,)
                other.commit()
            assert cur.fetchmany(5)[-1] == (10,)
            conn.commit()
            assert len(cur.fetchall()) == 40
        conn.commit()

def a_cursor_with_hold_is_read_in_autocommit(url):
    _table(url, 50)
    with psycopg.connect(url, autocommit=True) as conn:
        with conn.cursor("held", withhold=True, scrollable=True) as cur:
            cur.execute("SELECT n FROM t ORDER BY n")
            cur.itersize = 10
            assert sum(row[0] for row in cur) == 1275
            cur.scroll(49, mode="absolute")
            assert cur.fetchone() == (50,)

def a_cursor_that_sql_has_declared_is_stolen(url):
    _table(url, 10)
    with psycopg.connect(url) as conn:
        conn.execute("DECLARE theirs CURSOR FOR SELECT n FROM t ORDER BY n")
        assert len(conn.cursor("theirs").fetchall()) == 10

def a_client_side_cursor_merges_its_arguments_itself(url):
    _table(url)
    with psycopg.connect(url, cursor_factory=ClientCursor) as conn:
        conn.execute("INSERT INTO t VALUES (%s, %s), (%s, %s)", (1, "it's \\ %", 2, None))
        cur = conn.cursor()
        assert cur.mogrify("SELECT %s, %s", (1, "it's")) == "SELECT 1, 'it''s'"
        cur.execute("SELECT s FROM t WHERE n = %s; SELECT count(*) FROM t", (1,))
        assert cur.fetchone() == ("it's \\ %",)
        assert cur.nextset() and cur.fetchone() == (2,)
        conn.execute("CREATE TABLE of_today (n int DEFAULT %s)", (5,))  # No parameters on the wire.

def a_raw_cursor_takes_postgresqls_own_placeholders(url):
    with RawCursor(psycopg.connect(url)) as cur:
        cur.execute("SELECT $1::int + $1, $2::text", [21, "x"])
        assert cur.fetchone() == (42, "x")
        cur.connection.close()

def a_stream_gives_rows_as_they_come_and_may_be_left(url):
    with psycopg.connect(url) as conn:
        cur = conn.cursor()
        rows = cur.stream("SELECT * FROM generate_series(1, %s)", (5000,))
        assert sum(row[0] for row in rows) == 12502500
        rows = cur.stream("SELECT * FROM generate_series(1, 1000000)", size=100)
        assert next(rows) == (1,)
        rows.close()  # Which cancels the query.
        conn.rollback()
        assert conn.execute("SELECT 'still here'").fetchone() == ("still here",)

def rows_come_in_the_shape_that_was_asked_for(url):
    class Row:
        def __init__(self, n, s):
            self.n, self.s = n, s
    _table(url, 2)
    with psycopg.connect(url, row_factory=dict_row) as conn:
        assert conn.execute("SELECT * FROM t WHERE n = 1").fetchone() == {"n": 1, "s": "row 1"}
        rows = conn.cursor(row_factory=class_row(Row)).execute("SELECT * FROM t ORDER BY n").fetchall()
        assert [(row.n, row.s) for row in rows] == [(1, "row 1"), (2, "row 2")]

def many_rows_are_inserted_and_those_that_return_something_are_all_read(url):
    _table(url)
    with psycopg.connect(url) as conn, conn.cursor() as cur:
        cur.executemany("INSERT INTO t VALUES (%s, %s)", [(n, str(n)) for n in range(500)])
        assert cur.rowcount == 500
        cur.executemany("UPDATE t SET s = 'x' WHERE n < %s RETURNING n", [(1,), (2,), (3,)], returning=True)
        seen = [sorted(row[0] for row in cur.fetchall())]
        while cur.nextset():
            seen.append(sorted(row[0] for row in cur.fetchall()))
        assert seen == [[0], [0, 1], [0, 1, 2]], seen

def names_and_values_are_composed(url):
    _table(url, 3)
    with psycopg.connect(url) as conn:
        query = sql.SQL("SELECT {} FROM {} WHERE n IN ({})").format(
            sql.Identifier("s"), sql.Identifier("public", "t"), sql.SQL(", ").join([2, 3]))
        assert sorted(conn.execute(query).fetchall()) == [("row 2",), ("row 3",)]

# --- Prepared statements. ---

def a_statement_is_prepared_at_its_sixth_execution(url):
    with psycopg.connect(url) as conn, psycopg.connect(url) as other:
        assert conn.prepare_threshold == 5
        for n in range(20):
            for each in (conn, other):
                assert each.execute("SELECT %s::int + 1", (n,)).fetchone() == (n + 1,)
                each.commit()

def a_statement_is_prepared_at_once_where_the_caller_says_so(url):
    with psycopg.connect(url) as conn:
        for n in range(5):
            assert conn.execute("SELECT %s::int", (n,), prepare=True).fetchone() == (n,)
            assert conn.execute("SELECT %s::text", (str(n),), prepare=False).fetchone() == (str(n),)
            conn.rollback()

def more_statements_than_are_kept_push_out_the_oldest(url):
    with psycopg.connect(url, prepare_threshold=0) as conn:
        conn.prepared_max = 5
        for round in range(3):
            for i in range(20):
                assert conn.execute(f"SELECT %s::int + {i}", (round,)).fetchone() == (round + i,)
            conn.commit()

def a_prepared_statement_survives_a_failed_transaction(url):
    with psycopg.connect(url, prepare_threshold=0) as conn:
        for divisor in (1, 0, 2, 0, 4):
            query = lambda: conn.execute("SELECT 8 / %s::int", (divisor,)).fetchone()
            if divisor:
                assert query() == (8 // divisor,)
            else:
                _raises(errors.DivisionByZero, query)
            conn.rollback()

def deallocate_all_forgets_the_statements_of_this_client_only(url):
    with psycopg.connect(url, prepare_threshold=0, autocommit=True) as conn:
        with psycopg.connect(url, prepare_threshold=0, autocommit=True) as other:
            for n in range(3):
                for each in (conn, other):
                    assert each.execute("SELECT %s::int * 2", (n,)).fetchone() == (2 * n,)
                conn.execute("DEALLOCATE ALL")
                conn._prepared.clear()

# --- Pipelines. ---

def a_pipeline_answers_in_order(url):
    _table(url)
    with psycopg.connect(url) as conn, conn.pipeline():
        conn.cursor().executemany("INSERT INTO t VALUES (%s, %s)", [(n, "x") for n in range(100)])
        cursors = [conn.execute("SELECT %s::int, count(*) FROM t", (n,)) for n in range(50)]
        assert [cur.fetchone() for cur in cursors] == [(n, 100) for n in range(50)]

def an_error_aborts_its_pipeline_from_the_last_synchronization_on(url):
    _table(url)
    with psycopg.connect(url, autocommit=True) as conn:
        def fail():
            with conn.pipeline() as pipeline:
                conn.execute("INSERT INTO t VALUES (1)")
                pipeline.sync()
                conn.execute("SELECT 1 / %s", (0,))
                conn.execute("INSERT INTO t VALUES (2)")
        _raises(errors.DivisionByZero, fail)
        with conn.pipeline():
            after = conn.execute("INSERT INTO t VALUES (3) RETURNING n")
        assert after.fetchone() == (3,)
        assert conn.execute("SELECT array_agg(n ORDER BY n) FROM t").fetchone() == ([1, 3],)

def without_a_transaction_each_part_of_a_pipeline_is_one(url):
    _table(url)
    with psycopg.connect(url, autocommit=True) as conn:
        def fail():
            with conn.pipeline():
                conn.execute("INSERT INTO t VALUES (1)")
                conn.execute("INSERT INTO t VALUES (2)")
                conn.execute("INSERT INTO t VALUES (1)")
        _raises(errors.UniqueViolation, fail)
        assert conn.execute("SELECT count(*) FROM t").fetchone() == (0,)

def transactions_within_a_pipeline_are_sent_along(url):
    _table(url)
    with psycopg.connect(url, autocommit=True) as conn:
        with conn.pipeline():
            for n in range(10):
                with conn.transaction():
                    conn.execute("INSERT INTO t VALUES (%s)", (n,))
                    with conn.transaction(force_rollback=True):
                        conn.execute("INSERT INTO t VALUES (%s)", (100 + n,))
        assert conn.execute("SELECT count(*), max(n) FROM t").fetchone() == (10, 9)

def pipelines_nest(url):
    with psycopg.connect(url) as conn:
        with conn.pipeline():
            first = conn.execute("SELECT 1")
            with conn.pipeline():
                second = conn.execute("SELECT 2")
            third = conn.execute("SELECT 3")
        assert [cur.fetchone()[0] for cur in (first, second, third)] == [1, 2, 3]

def a_pipeline_larger_than_all_buffers_goes_through(url):
    with psycopg.connect(url) as conn, conn.pipeline():
        text = "x" * 20000
        cursors = [conn.execute("SELECT %s::text", (text,)) for _ in range(200)]
        assert all(cur.fetchone() == (text,) for cur in cursors)

# --- Copies. ---

def rows_are_copied_in_as_text_and_as_bytes(url):
    _table(url)
    with psycopg.connect(url) as conn, conn.cursor() as cur:
        with cur.copy("COPY t (n, s) FROM STDIN") as copy:
            for n in range(1000):
                copy.write_row((n, None if n % 2 else "tab\tand\nline"))
        with cur.copy("COPY t FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int4", "text"])
            for n in range(1000, 2000):
                copy.write_row((n, "é"))
        assert cur.execute("SELECT count(*), count(s), min(s) FROM t").fetchone() == (2000, 1500, "tab\tand\nline")

def rows_are_copied_out_as_text_and_as_bytes(url):
    _table(url, 1000)
    with psycopg.connect(url) as conn, conn.cursor() as cur:
        with cur.copy("COPY t TO STDOUT") as copy:
            assert sum(int(row[0]) for row in copy.rows()) == 500500
        with cur.copy("COPY (SELECT n, s FROM t ORDER BY n) TO STDOUT (FORMAT BINARY)") as copy:
            copy.set_types(["int4", "text"])
            assert copy.read_row() == (1, "row 1")
            assert sum(1 for _ in copy.rows()) == 999
        with cur.copy("COPY (SELECT n FROM t WHERE n > %s) TO STDOUT", (998,)) as copy:
            assert b"".join(copy) == b"999\n1000\n"

def a_copy_goes_from_one_connection_to_another(url):
    _table(url, 3000)
    with psycopg.connect(url) as source, psycopg.connect(url) as target:
        target.execute("CREATE TABLE copied (LIKE t)")
        with source.cursor().copy("COPY t TO STDOUT (FORMAT BINARY)") as out:
            with target.cursor().copy("COPY copied FROM STDIN (FORMAT BINARY)") as into:
                for block in out:
                    into.write(block)
        assert target.execute("SELECT count(*), sum(n) FROM copied").fetchone() == (3000, 4501500)

def a_copy_that_fails_leaves_the_connection_usable(url):
    _table(url, 1)
    with psycopg.connect(url) as conn:
        def break_off():
            with conn.cursor().copy("COPY t FROM STDIN") as copy:
                copy.write_row((2, "x"))
                raise KeyError("the application's own")
        _raises(KeyError, break_off)
        conn.rollback()
        def twice():
            with conn.cursor().copy("COPY t FROM STDIN") as copy:
                copy.write_row((1, "there already"))
        _raises(errors.UniqueViolation, twice)
        conn.rollback()
        def broken():
            with conn.cursor().copy("COPY t FROM STDIN") as copy:
                copy.write(b"no number\tx\n")
        _raises(errors.InvalidTextRepresentation, broken)
        conn.rollback()
        assert conn.execute("SELECT count(*) FROM t").fetchone() == (1,)

def a_copy_that_is_not_read_to_its_end_can_be_left(url):
    _table(url, 1)
    with psycopg.connect(url) as conn:
        rows = "SELECT repeat('x', 1000) FROM generate_series(1, 1000000)"
        def leave():
            with conn.cursor().copy(f"COPY ({rows}) TO STDOUT") as copy:
                assert len(copy.read()) == 1001
                raise KeyError("the application's own")
        _raises(KeyError, leave)  # Which cancels the copy.
        conn.rollback()
        assert conn.execute("SELECT count(*) FROM t").fetchone() == (1,)

# --- Types. ---

def values_come_back_as_they_went_as_text_and_as_bytes(url):
    utc = datetime.timezone.utc
    values = [
        True, 1, 2**40, -1.5, decimal.Decimal("0.1000"), "é\u20ac", b"\x00\xff", None,
        datetime.date(2020, 2, 29), datetime.datetime(2020, 2, 29, 12, 30, 0, 5, utc),
        datetime.timedelta(days=3, seconds=7), uuid.UUID(int=5), [1, 2, None], [["a"], ["b"]],
        ipaddress.ip_network("10.0.0.0/8"), Range(1, 5, "[)"), Multirange([Range(1, 3), Range(7, 9)]),
    ]
    casts = ["bool", "int4", "int8", "float8", "numeric", "text", "bytea", "text", "date", "timestamptz",
             "interval", "uuid", "int4[]", "text[]", "cidr", "int4range", "int4multirange"]
    with psycopg.connect(url) as conn:
        for binary in (False, True):
            for placeholder in ("%s", "%b", "%t"):
                for value, cast in zip(values, casts):
                    cur = conn.execute(f"SELECT {placeholder}::{cast}", (value,), binary=binary)
                    assert cur.fetchone() == (value,), (placeholder, binary, cast)

def json_goes_in_wrapped_and_comes_out_loaded(url):
    with psycopg.connect(url) as conn:
        about = {"a": [1, None, "é"], "b": {"c": 1.5}}
        assert conn.execute("SELECT %s::jsonb", (Jsonb(about),)).fetchone() == (about,)

def types_of_the_database_are_looked_up_and_registered(url):
    import enum
    class Color(enum.Enum):
        red = "red"
        blue = "blue"
    with psycopg.connect(url) as conn:
        conn.execute("CREATE TYPE color AS ENUM ('red', 'blue')")
        conn.execute("CREATE TYPE pair AS (n int, c color)")
        conn.commit()
        register_enum(EnumInfo.fetch(conn, "color"), conn, Color)
        pair = CompositeInfo.fetch(conn, "pair")
        register_composite(pair, conn)
        conn.commit()
        assert conn.execute("SELECT %s::color", (Color.blue,)).fetchone() == (Color.blue,)
        row = conn.execute("SELECT ROW(1, 'red')::pair").fetchone()[0]
        assert (row.n, row.c) == (1, Color.red)
        assert conn.execute("SELECT %s", (pair.python_type(2, Color.blue),)).fetchone()[0].n == 2

# --- What a session has. ---

def parameters_of_the_connection_string_are_those_of_the_session(url):
    options = "-c work_mem=1234kB -c search_path=one,public"
    with psycopg.connect(url, application_name="a case", options=options) as conn:
        for _ in range(3):
            names = ("work_mem", "search_path", "application_name")
            shown = [conn.execute(f"SHOW {name}").fetchone()[0] for name in names]
            assert shown == ["1234kB", "one,public", "a case"], shown
            conn.commit()

def a_setting_of_the_session_lasts_and_one_of_the_transaction_does_not(url):
    with psycopg.connect(url) as conn, psycopg.connect(url) as other:
        conn.execute("SET statement_timeout = '77s'")
        conn.commit()
        other.execute("SET statement_timeout = '88s'")
        other.commit()
        for _ in range(3):
            for each, expected in ((conn, "77s"), (other, "88s")):
                each.execute("SELECT set_config('work_mem', '2MB', true)")
                assert each.execute("SHOW statement_timeout").fetchone() == (expected,)
                each.commit()
                assert each.execute("SHOW work_mem").fetchone() != ("2MB",)
                each.commit()

def the_encoding_of_the_client_can_be_changed(url):
    with psycopg.connect(url, client_encoding="LATIN1") as conn:
        assert conn.info.encoding == "iso8859-1"
        assert conn.execute("SELECT 'é', length(%s)", ("é",)).fetchone() == ("é", 1)
        conn.commit()
        conn.execute("SET client_encoding TO UTF8")
        assert conn.info.encoding == "utf-8"
        assert conn.execute("SELECT '€'").fetchone() == ("€",)

def a_temporary_table_stays_its_sessions_own(url):
    with psycopg.connect(url) as conn, psycopg.connect(url) as other:
        for each, n in ((conn, 1), (other, 2)):
            each.execute("CREATE TEMPORARY TABLE mine (n int)")
            each.execute("INSERT INTO mine VALUES (%s)", (n,))
            each.commit()
        for _ in range(3):
            for each, n in ((conn, 1), (other, 2)):
                assert each.execute("SELECT n FROM mine").fetchall() == [(n,)]
                each.commit()

def an_advisory_lock_of_the_session_is_kept_from_others(url):
    with psycopg.connect(url, autocommit=True) as conn, psycopg.connect(url, autocommit=True) as other:
        conn.execute("SELECT pg_advisory_lock(42)")
        for _ in range(3):
            assert other.execute("SELECT pg_try_advisory_lock(42)").fetchone() == (False,)
        assert conn.execute("SELECT pg_advisory_unlock(42)").fetchone() == (True,)
        assert other.execute("SELECT pg_try_advisory_lock(42)").fetchone() == (True,)

def notices_reach_the_client_whose_statement_raised_them(url):
    with psycopg.connect(url) as conn, psycopg.connect(url) as other:
        heard = []
        conn.add_notice_handler(lambda notice: heard.append(notice.message_primary))
        other.add_notice_handler(lambda notice: heard.append("of another"))
        for n in range(3):
            conn.execute(f"DO $$ BEGIN RAISE NOTICE 'notice {n}'; END $$")
            conn.commit()
        assert heard == ["notice 0", "notice 1", "notice 2"], heard

def a_query_is_cancelled_by_another_thread(url):
    with psycopg.connect(url) as conn:
        done = threading.Event()
        def cancel():
            while not done.wait(0.05):
                conn.cancel_safe()
        thread = threading.Thread(target=cancel)
        thread.start()
        _raises(errors.QueryCanceled, lambda: conn.execute("SELECT pg_sleep(100)"))
        done.set()
        thread.join()
        conn.rollback()
        assert conn.execute("SELECT 'still here'").fetchone() == ("still here",)

def a_statement_that_takes_too_long_is_ended_by_the_sessions_own_limit(url):
    with psycopg.connect(url, options="-c statement_timeout=100ms") as conn:
        _raises(errors.QueryCanceled, lambda: conn.execute("SELECT pg_sleep(100)"))
        conn.rollback()
        assert conn.execute("SELECT 1").fetchone() == (1,)

# --- Notifications. ---

def notifications_come_by_the_generator_until_it_is_stopped(url):
    with psycopg.connect(url, autocommit=True) as conn, psycopg.connect(url, autocommit=True) as other:
        conn.execute("LISTEN channel")
        for n in range(5):
            other.execute("SELECT pg_notify('channel', %s)", (str(n),))
        heard = [notify.payload for notify in conn.notifies(timeout=20, stop_after=5)]
        assert heard == ["0", "1", "2", "3", "4"]
        other.execute("NOTIFY channel, 'later'")
        for notify in conn.notifies():
            assert (notify.channel, notify.payload) == ("channel", "later")
            break
        conn.execute("UNLISTEN *")
        other.execute("NOTIFY channel")
        assert list(conn.notifies(timeout=0)) == []

def a_notification_is_handed_to_who_handles_it_while_other_statements_run(url):
    with psycopg.connect(url, autocommit=True) as conn, psycopg.connect(url) as other:
        heard = []
        conn.add_notify_handler(lambda notify: heard.append(notify.payload))
        conn.execute("LISTEN channel")
        other.execute("NOTIFY channel, 'rolled back'")
        other.rollback()
        other.execute("NOTIFY channel, 'committed'")
        other.commit()
        while not heard:
            conn.execute("SELECT 1")
        assert heard == ["committed"]

# --- psycopg_pool. ---

def a_pool_lends_what_it_has_and_rolls_back_what_is_returned_dirty(url):
    _table(url)
    with ConnectionPool(url, min_size=1, max_size=3) as pool:
        pool.wait(20)
        def work(n):
            with pool.connection() as conn:
                conn.execute("INSERT INTO t VALUES (%s)", (n,))
        threads = [threading.Thread(target=work, args=(n,)) for n in range(30)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        conn = pool.getconn()
        conn.execute("INSERT INTO t VALUES (1000)")
        pool.putconn(conn)
        with pool.connection() as conn:
            assert conn.execute("SELECT count(*) FROM t").fetchone() == (30,)

def a_pool_prepares_resets_and_checks_its_connections(url):
    seen = []
    def configure(conn):
        conn.execute("SET statement_timeout = '66s'")
        conn.commit()
        seen.append("configured")
    def reset(conn):
        conn.execute("DISCARD TEMP")
        conn.commit()
        seen.append("reset")
    pool = ConnectionPool(url, min_size=1, max_size=1, configure=configure, reset=reset,
                          check=ConnectionPool.check_connection, open=False)
    with pool:
        pool.wait(20)
        for _ in range(3):
            with pool.connection() as conn:
                assert conn.execute("SHOW statement_timeout").fetchone() == ("66s",)
                conn.execute("CREATE TEMPORARY TABLE left_behind (n int)")
        # The reset is the pool's own work, done when the connection is lent again.
        with pool.connection():
            assert seen[0] == "configured" and seen.count("reset") >= 3, seen

def a_pool_replaces_a_connection_that_is_broken(url):
    with ConnectionPool(url, min_size=1, max_size=1, check=ConnectionPool.check_connection) as pool:
        with pool.connection() as conn:
            broken = conn
        broken.pgconn.finish()
        with pool.connection() as conn:
            assert conn is not broken and conn.execute("SELECT 1").fetchone() == (1,)

def a_pool_without_connections_of_its_own_opens_one_for_each_use(url):
    with NullConnectionPool(url, max_size=2) as pool:
        for n in range(10):
            with pool.connection() as conn:
                assert conn.execute("SELECT %s::int", (n,)).fetchone() == (n,)

def who_waits_too_long_for_a_connection_of_the_pool_is_told(url):
    with ConnectionPool(url, min_size=1, max_size=1) as pool, pool.connection():
        def wait():
            with pool.connection(timeout=0.1):
                raise AssertionError("there was none to lend")
        _raises(PoolTimeout, wait)

# --- The same with asyncio. ---

async def asyncio_tasks_share_a_pool(url):
    _table(url)
    async with AsyncConnectionPool(url, min_size=2, max_size=4, open=False) as pool:
        async def work(n):
            async with pool.connection() as conn, conn.transaction():
                await conn.execute("INSERT INTO t VALUES (%s)", (n,))
                async with conn.transaction(force_rollback=True):
                    await conn.execute("INSERT INTO t VALUES (%s)", (1000 + n,))
        await asyncio.gather(*(work(n) for n in range(40)))
    assert _count(url) == 40

async def asyncio_cursors_are_iterated_and_scrolled(url):
    _table(url, 100)
    async with await psycopg.AsyncConnection.connect(url) as conn:
        async with conn.cursor("named", scrollable=True) as cur:
            await cur.execute("SELECT n FROM t ORDER BY n")
            assert sum([row[0] async for row in cur]) == 5050
            await cur.scroll(99, mode="absolute")
            assert await cur.fetchone() == (100,)
        async with conn.cursor("held", withhold=True) as cur:
            await cur.execute("SELECT n FROM t ORDER BY n")
            await conn.commit()
            assert len(await cur.fetchmany(10)) == 10
            await conn.commit()
            assert len(await cur.fetchall()) == 90

async def asyncio_pipelines_copies_and_two_phases_are_as_the_others(url):
    _table(url)
    async with await psycopg.AsyncConnection.connect(url) as conn:
        async with conn.pipeline():
            cursors = [await conn.execute("SELECT %s::int", (n,)) for n in range(30)]
            assert [await cur.fetchone() for cur in cursors] == [(n,) for n in range(30)]
        async with conn.cursor() as cur, cur.copy("COPY t FROM STDIN") as copy:
            for n in range(100):
                await copy.write_row((n, "x"))
        await conn.commit()
        await conn.tpc_begin("of asyncio")
        await conn.execute("DELETE FROM t WHERE n < 50")
        await conn.tpc_prepare()
        await conn.tpc_commit()
    assert _count(url) == 50

async def asyncio_notifications_are_heard_by_a_task_of_their_own(url):
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        await conn.execute("LISTEN channel")
        async def listen():
            return [notify.payload async for notify in conn.notifies(timeout=20, stop_after=3)]
        listening = asyncio.create_task(listen())
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as other:
            for n in range(3):
                await other.execute("SELECT pg_notify('channel', %s)", (str(n),))
        assert await listening == ["0", "1", "2"]

async def a_task_that_is_cancelled_takes_its_query_with_it(url):
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        for _ in range(3):
            try:
                await asyncio.wait_for(conn.execute("SELECT pg_sleep(100)"), 0.1)
            except asyncio.TimeoutError:
                pass
            assert await (await conn.execute("SELECT 'still here'")).fetchone() == ("still here",)
