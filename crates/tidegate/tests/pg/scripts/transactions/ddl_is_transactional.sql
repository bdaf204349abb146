-- Tables that were made in a transaction vanish with it.

BEGIN

CREATE TABLE t (x int)

INSERT INTO t VALUES (1)

SELECT * FROM t

ROLLBACK

SELECT * FROM t
