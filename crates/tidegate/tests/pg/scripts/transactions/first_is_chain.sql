-- The first statement behind BEGIN ends it and begins the next.

BEGIN ISOLATION LEVEL REPEATABLE READ

COMMIT AND CHAIN

SHOW transaction_isolation

ROLLBACK AND CHAIN

COMMIT

SHOW transaction_isolation
