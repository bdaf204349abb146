-- A BEGIN among the statements of a Query takes in those before it.
-- only: simple

CREATE TABLE t (x int)

INSERT INTO t VALUES (1); BEGIN; INSERT INTO t VALUES (2)

SELECT count(*) FROM t; ROLLBACK

SELECT count(*) FROM t

BEGIN; INSERT INTO t VALUES (3); COMMIT; INSERT INTO t VALUES (4); SELECT 1/0

SELECT x FROM t ORDER BY x
