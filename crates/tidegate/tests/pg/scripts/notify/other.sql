-- A session that waits hears others.

LISTEN news

-- session: b
NOTIFY news, 'hello'

-- await notification

-- session: b
SELECT pg_notify('news', 'again')

-- await notification

SELECT 1
