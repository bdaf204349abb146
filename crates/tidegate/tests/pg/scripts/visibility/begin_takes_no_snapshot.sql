-- The snapshot of REPEATABLE READ is taken by the first query, not by BEGIN.

CREATE TABLE t (x int)

BEGIN ISOLATION LEVEL REPEATABLE READ

-- session: b
INSERT INTO t VALUES (1)

SELECT count(*) FROM t

-- session: b
INSERT INTO t VALUES (2)

SELECT count(*) FROM t

COMMIT
