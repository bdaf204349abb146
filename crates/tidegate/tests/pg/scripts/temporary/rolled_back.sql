-- A temporary table that is rolled back.

BEGIN

CREATE TEMP TABLE t (x int)

INSERT INTO t VALUES (1)

ROLLBACK

SELECT * FROM t

CREATE TEMP TABLE t (y text)

SELECT * FROM t
