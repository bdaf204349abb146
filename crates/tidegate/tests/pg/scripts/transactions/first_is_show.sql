-- The first statement behind BEGIN asks for what the BEGIN has set.

BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE

SHOW transaction_read_only

SHOW transaction_deferrable

SHOW transaction_isolation

COMMIT

SHOW transaction_read_only

SHOW transaction_isolation
