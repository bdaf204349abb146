-- A transaction that begins with a lock of the transaction, as job queues do.

BEGIN

SELECT pg_try_advisory_xact_lock(99)

-- session: b
BEGIN

-- session: b
SELECT pg_try_advisory_xact_lock(99)

-- session: b
COMMIT

ROLLBACK

-- session: b
SELECT pg_try_advisory_xact_lock(99)
