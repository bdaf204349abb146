-- A SET before a failure is undone with the transaction, also by COMMIT.

SET statement_timeout = '60s'

BEGIN

SET statement_timeout = '5s'

SELECT 1/0

COMMIT

SHOW statement_timeout
