-- Outside of a transaction there is nothing to prepare.

PREPARE TRANSACTION 'x'

SELECT 1

BEGIN

SELECT 1/0

PREPARE TRANSACTION 'x'

SELECT count(*) FROM pg_prepared_xacts
