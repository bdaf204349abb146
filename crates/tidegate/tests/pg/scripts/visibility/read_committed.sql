-- Under READ COMMITTED each statement sees what was committed before it.

CREATE TABLE t (x int)

BEGIN

SELECT count(*) FROM t

-- session: b
INSERT INTO t VALUES (1)

SELECT count(*) FROM t

COMMIT
