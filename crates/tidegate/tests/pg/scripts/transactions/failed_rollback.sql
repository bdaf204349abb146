-- ROLLBACK of a failed transaction, and of none.

BEGIN

SELECT nothing

ROLLBACK

ROLLBACK

SELECT 1
