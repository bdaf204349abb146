-- DISCARD ALL leaves the session as it was at the login.

SET work_mem = '5MB'

PREPARE p AS SELECT 1

CREATE TEMP TABLE t (x int)

LISTEN news

SELECT pg_advisory_lock(1)

DISCARD ALL

SHOW work_mem

EXECUTE p

SELECT * FROM t

SELECT count(*) FROM pg_listening_channels()

SELECT pg_advisory_unlock(1)
