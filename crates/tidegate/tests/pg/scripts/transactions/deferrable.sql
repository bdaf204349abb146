-- A deferrable transaction waits for a snapshot without danger; here there is none to wait for.

BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE

SHOW transaction_deferrable

SELECT 1

COMMIT

BEGIN NOT DEFERRABLE

SHOW transaction_deferrable

COMMIT
