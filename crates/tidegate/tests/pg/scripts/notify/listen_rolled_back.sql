-- A LISTEN that is rolled back has not been.

BEGIN

LISTEN news

ROLLBACK

NOTIFY news, 'unheard'

BEGIN

LISTEN news

NOTIFY news, 'in the same transaction'

COMMIT

SELECT pg_listening_channels()
