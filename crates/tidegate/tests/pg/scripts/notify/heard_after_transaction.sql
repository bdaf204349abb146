-- A session in a transaction hears others when it is over.

LISTEN news

BEGIN

SELECT 1

-- session: b
NOTIFY news, 'meanwhile'

SELECT 2

COMMIT
