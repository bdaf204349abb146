-- A snapshot can be exported, and stays what it is.
-- only: simple

CREATE TABLE t (x int); INSERT INTO t VALUES (1)

BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_export_snapshot() IS NOT NULL AS exported

SELECT count(*) FROM t

-- session: b
INSERT INTO t VALUES (2)

SELECT count(*) FROM t

COMMIT; SELECT count(*) FROM t
