-- A lock of the session that was taken in a transaction that failed stays.

BEGIN

SELECT pg_advisory_lock(6)

SELECT 1/0

ROLLBACK

-- session: b
SELECT pg_try_advisory_lock(6)

SELECT pg_advisory_unlock(6)
