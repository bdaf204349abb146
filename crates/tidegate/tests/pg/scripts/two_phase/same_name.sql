-- A name is in use until its transaction is finished.

BEGIN

SELECT 1

PREPARE TRANSACTION 'same'

BEGIN

SELECT 2

PREPARE TRANSACTION 'same'

SELECT 3

ROLLBACK PREPARED 'same'
