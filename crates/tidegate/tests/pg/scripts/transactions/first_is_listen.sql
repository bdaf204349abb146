-- The first statement behind BEGIN listens or notifies.

BEGIN

LISTEN news

COMMIT

BEGIN

NOTIFY news, 'one'

COMMIT

BEGIN

UNLISTEN news

ROLLBACK

NOTIFY news, 'two'
