-- A statement that cancels itself.

SELECT pg_cancel_backend(pg_backend_pid())

SELECT 'still here'

BEGIN

SELECT pg_cancel_backend(pg_backend_pid())

SELECT 1

ROLLBACK
