-- A table whose rows go with each transaction.

CREATE TEMP TABLE t (x int) ON COMMIT DELETE ROWS

BEGIN

INSERT INTO t VALUES (1)

SELECT count(*) FROM t

COMMIT

SELECT count(*) FROM t

INSERT INTO t VALUES (2)

SELECT count(*) FROM t
