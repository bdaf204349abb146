-- Two serializable transactions that each read what the other writes can't both commit.

CREATE TABLE t (k text, x int)

INSERT INTO t VALUES ('a', 1), ('b', 1)

BEGIN ISOLATION LEVEL SERIALIZABLE

-- session: b
BEGIN ISOLATION LEVEL SERIALIZABLE

SELECT sum(x) FROM t

-- session: b
SELECT sum(x) FROM t

UPDATE t SET x = 0 WHERE k = 'a'

-- session: b
UPDATE t SET x = 0 WHERE k = 'b'

COMMIT

-- session: b
COMMIT
