-- Who waits for a lock gets it when it is free.

SELECT pg_advisory_lock(5)

-- session: b
-- blocks
SELECT pg_advisory_lock(5)

SELECT pg_advisory_unlock(5)

-- session: b
-- receive

-- session: b
SELECT pg_advisory_unlock(5)
