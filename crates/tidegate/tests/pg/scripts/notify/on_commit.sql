-- Notifications are sent with the commit, once if they are the same, in order.

LISTEN news

BEGIN

NOTIFY news, 'a'

NOTIFY news, 'b'

NOTIFY news, 'a'

SELECT 1

COMMIT

BEGIN

NOTIFY news, 'never'

ROLLBACK
