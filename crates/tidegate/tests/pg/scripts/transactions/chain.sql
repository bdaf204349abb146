-- AND CHAIN begins the next transaction with the characteristics of the last.

BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY

SELECT 1

COMMIT AND CHAIN

SHOW transaction_isolation

SHOW transaction_read_only

ROLLBACK AND CHAIN

SHOW transaction_isolation

COMMIT AND NO CHAIN

SHOW transaction_isolation
