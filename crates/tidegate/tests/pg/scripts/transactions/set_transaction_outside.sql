-- SET TRANSACTION outside of a transaction is a warning and does nothing.

SET TRANSACTION ISOLATION LEVEL SERIALIZABLE

SHOW transaction_isolation

SET LOCAL application_name = 'x'

SHOW application_name
