-- What is committed stays, what is rolled back does not, and the state is told in between.

CREATE TABLE t (x int)

BEGIN

INSERT INTO t VALUES (1)

COMMIT

BEGIN

INSERT INTO t VALUES (2)

SELECT x FROM t ORDER BY x

ROLLBACK

SELECT x FROM t ORDER BY x
