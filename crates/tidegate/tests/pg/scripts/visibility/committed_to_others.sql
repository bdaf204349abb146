-- Others see what is committed, and only that.

CREATE TABLE t (x int)

BEGIN

INSERT INTO t VALUES (1)

-- session: b
SELECT count(*) FROM t

COMMIT

-- session: b
SELECT count(*) FROM t
