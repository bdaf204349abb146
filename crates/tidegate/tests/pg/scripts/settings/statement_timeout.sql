-- A statement that takes too long is ended.

SET statement_timeout = '200ms'

SELECT pg_sleep(10)

SET statement_timeout = 0

BEGIN

SET LOCAL statement_timeout = '200ms'

SELECT pg_sleep(10)

ROLLBACK

SHOW statement_timeout

SET statement_timeout = '-1'

SHOW statement_timeout
