-- The first statements behind BEGIN only set.

BEGIN

SET LOCAL TimeZone = 'Asia/Tokyo'

SET LOCAL statement_timeout = '5s'

COMMIT

SHOW TimeZone

BEGIN

SET TimeZone = 'Europe/Paris'

SET TRANSACTION ISOLATION LEVEL SERIALIZABLE

SHOW transaction_isolation

COMMIT

SHOW TimeZone
