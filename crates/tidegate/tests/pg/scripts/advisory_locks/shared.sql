-- Shared locks go together; exclusive ones do not.

SELECT pg_advisory_lock_shared(4, 1)

-- session: b
SELECT pg_try_advisory_lock_shared(4, 1), pg_try_advisory_lock(4, 1)

SELECT pg_advisory_unlock_all()

-- session: b
SELECT pg_try_advisory_lock(4, 1)

SELECT pg_try_advisory_lock_shared(4, 1)
