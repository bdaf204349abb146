-- Modes of locks that go together, and such that do not.

CREATE TABLE t (x int)

BEGIN

LOCK TABLE t IN SHARE MODE

-- session: b
BEGIN

-- session: b
LOCK TABLE t IN SHARE MODE NOWAIT

-- session: b
LOCK TABLE t IN ROW EXCLUSIVE MODE NOWAIT

COMMIT

-- session: b
ROLLBACK

DROP TABLE t
