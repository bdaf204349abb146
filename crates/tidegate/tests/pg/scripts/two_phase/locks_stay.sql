-- A prepared transaction keeps its locks.

CREATE TABLE t (x int)

BEGIN

LOCK TABLE t

PREPARE TRANSACTION 'locked'

SET lock_timeout = '50ms'

SELECT count(*) FROM t

COMMIT PREPARED 'locked'

SELECT count(*) FROM t
