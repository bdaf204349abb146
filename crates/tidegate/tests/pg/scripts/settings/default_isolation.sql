-- The default of transactions is a setting.

SET default_transaction_isolation = 'serializable'

SHOW transaction_isolation

BEGIN

SHOW transaction_isolation

COMMIT

SET default_transaction_deferrable = on

SHOW transaction_deferrable

RESET default_transaction_isolation

BEGIN

SHOW transaction_isolation

COMMIT
