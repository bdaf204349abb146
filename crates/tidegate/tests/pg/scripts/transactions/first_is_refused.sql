-- The first statement behind BEGIN may not run in a transaction.

BEGIN

DISCARD ALL

ROLLBACK

BEGIN

CREATE DATABASE other

ROLLBACK

BEGIN

ROLLBACK PREPARED 'nothing'

COMMIT
