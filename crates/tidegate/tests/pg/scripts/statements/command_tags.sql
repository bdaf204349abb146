-- Each command has its tag, with the numbers that belong to it.

CREATE TABLE t (x int)

INSERT INTO t SELECT generate_series(1, 3)

UPDATE t SET x = x WHERE x > 1

DELETE FROM t WHERE x = 1

SELECT x FROM t ORDER BY x

CREATE TABLE u AS SELECT * FROM t

EXPLAIN (COSTS OFF) SELECT 1

VALUES (1), (2)

GRANT SELECT ON t TO app

DROP TABLE t, u

LOAD 'plpgsql'
