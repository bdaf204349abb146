-- Savepoints need a transaction.

SAVEPOINT s

ROLLBACK TO s

RELEASE s

BEGIN

ROLLBACK TO nowhere

ROLLBACK

BEGIN

RELEASE nowhere

ROLLBACK
