-- Statements of one Query are one transaction: a failure undoes those before it.
-- only: simple

CREATE TABLE t (x int)

INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)

INSERT INTO t VALUES (3); SELECT 1/0; INSERT INTO t VALUES (4)

SELECT x FROM t ORDER BY x
