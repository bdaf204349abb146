-- Savepoints among the statements of a Query.
-- only: simple

SELECT 1; SAVEPOINT s; SELECT 2

BEGIN; SAVEPOINT s; SELECT 1/0

ROLLBACK TO s; SELECT 'back'; COMMIT

SELECT 'after'
