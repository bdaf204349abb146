-- A temporary table lasts as long as its session, and nobody else sees it.

CREATE TEMP TABLE t (x int)

INSERT INTO t VALUES (1) RETURNING x

-- session: b
SELECT * FROM t

SELECT * FROM pg_temp.t

DROP TABLE t

SELECT * FROM t
