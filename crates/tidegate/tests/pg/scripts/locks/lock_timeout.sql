-- Waiting for a lock may be limited.

CREATE TABLE t (x int)

BEGIN

LOCK TABLE t

-- session: b
SET lock_timeout = '20ms'

-- session: b
SELECT * FROM t

-- session: b
SHOW lock_timeout

COMMIT

-- session: b
SELECT * FROM t
