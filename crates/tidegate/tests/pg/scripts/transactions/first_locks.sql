-- The first statement behind BEGIN locks, and the transaction holds on to it.

CREATE TABLE t (x int)

BEGIN

LOCK TABLE t

-- session: b
BEGIN

-- session: b
LOCK TABLE t NOWAIT

-- session: b
ROLLBACK

COMMIT

-- session: b
DROP TABLE t
