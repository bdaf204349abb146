-- Under REPEATABLE READ the one that waited must start again.

CREATE TABLE t (n int)

INSERT INTO t VALUES (0)

-- session: b
BEGIN ISOLATION LEVEL REPEATABLE READ

-- session: b
SELECT n FROM t

BEGIN

UPDATE t SET n = 1

-- session: b
-- blocks
UPDATE t SET n = 2

COMMIT

-- session: b
-- receive

-- session: b
ROLLBACK
