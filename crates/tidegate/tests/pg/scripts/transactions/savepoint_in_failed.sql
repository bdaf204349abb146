-- No savepoint is made in a failed transaction, and none released.

BEGIN

SAVEPOINT a

SELECT 1/0

SAVEPOINT b

RELEASE a

ROLLBACK TO a

SELECT 'alive'

COMMIT
