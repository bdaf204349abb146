-- A name is in use until it is deallocated, also when the transaction is rolled back.

PREPARE p AS SELECT 1

PREPARE p AS SELECT 2

DEALLOCATE p

BEGIN

PREPARE p AS SELECT 3

ROLLBACK

EXECUTE p
