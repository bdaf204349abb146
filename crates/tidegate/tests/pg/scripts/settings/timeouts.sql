-- Time limits of a session and of one transaction.

SET lock_timeout = '3s'

SET idle_in_transaction_session_timeout = '1min'

SHOW lock_timeout

SHOW idle_in_transaction_session_timeout

BEGIN

SET LOCAL lock_timeout = 0

SHOW lock_timeout

ROLLBACK

SHOW lock_timeout

RESET lock_timeout

SHOW lock_timeout
