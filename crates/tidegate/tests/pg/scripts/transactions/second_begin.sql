-- A BEGIN inside a transaction is a warning.

BEGIN

BEGIN

SELECT 1

COMMIT

COMMIT
