-- A statement that takes too long is ended.

SET statement_timeout = '20ms'

SELECT pg_sleep(10)

SELECT 'quick'

BEGIN

SET LOCAL statement_timeout = 0

SELECT pg_sleep(0.05)

COMMIT

SET statement_timeout = '-1'

SHOW statement_timeout
