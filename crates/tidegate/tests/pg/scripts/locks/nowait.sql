-- NOWAIT fails at once when another session holds the lock.

CREATE TABLE t (id int PRIMARY KEY)

INSERT INTO t VALUES (1), (2)

BEGIN

SELECT id FROM t WHERE id = 1 FOR UPDATE

-- session: b
SELECT id FROM t WHERE id = 1 FOR UPDATE NOWAIT

-- session: b
SELECT id FROM t WHERE id = 2 FOR UPDATE NOWAIT

-- session: b
BEGIN

-- session: b
LOCK TABLE t IN ACCESS EXCLUSIVE MODE NOWAIT

-- session: b
COMMIT

COMMIT
