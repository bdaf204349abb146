-- Unlocking what is not locked is a warning.

SELECT pg_advisory_unlock(3)

SELECT pg_advisory_unlock_shared(3)

SELECT pg_advisory_unlock_all()

SELECT pg_try_advisory_lock(3), pg_advisory_unlock(3)
