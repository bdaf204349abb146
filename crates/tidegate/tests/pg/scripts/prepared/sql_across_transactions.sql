-- A statement prepared by SQL serves many transactions.

CREATE TABLE t (x int)

PREPARE ins(int) AS INSERT INTO t VALUES ($1)

BEGIN

EXECUTE ins(1)

COMMIT

EXECUTE ins(2)

BEGIN

EXECUTE ins(3)

ROLLBACK

SELECT x FROM t ORDER BY x
