-- A lock of the session outlives transactions, and has to be unlocked as often as it was taken.

SELECT pg_advisory_lock(1)

SELECT pg_advisory_lock(1)

-- session: b
SELECT pg_try_advisory_lock(1)

SELECT pg_advisory_unlock(1)

-- session: b
SELECT pg_try_advisory_lock(1)

SELECT pg_advisory_unlock(1)

-- session: b
SELECT pg_try_advisory_lock(1)
