-- SET LOCAL lasts as long as its transaction.

SET TimeZone = 'Asia/Tokyo'

BEGIN

SET LOCAL TimeZone = 'Europe/Paris'

SHOW TimeZone

COMMIT

SHOW TimeZone

BEGIN

SET LOCAL TimeZone = 'Europe/Rome'

ROLLBACK

SHOW TimeZone
