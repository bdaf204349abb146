-- A lock of the transaction goes with it.

BEGIN

SELECT pg_advisory_xact_lock(2)

-- session: b
SELECT pg_try_advisory_xact_lock(2)

COMMIT

-- session: b
SELECT pg_try_advisory_xact_lock(2)

SELECT pg_try_advisory_xact_lock(2)
