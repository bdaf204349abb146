-- The first statement behind BEGIN is a savepoint, or goes back to one.

BEGIN

SAVEPOINT s

SELECT 1/0

ROLLBACK TO s

COMMIT

BEGIN

ROLLBACK TO SAVEPOINT s

COMMIT
