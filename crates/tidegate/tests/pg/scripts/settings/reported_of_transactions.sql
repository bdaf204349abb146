-- What is told of settings that are changed and rolled back.

BEGIN

SET TimeZone = 'Asia/Tokyo'

SELECT 1

ROLLBACK

BEGIN

SET LOCAL TimeZone = 'Europe/Paris'

SHOW TimeZone

COMMIT

BEGIN

SET TimeZone = 'Europe/Rome'

COMMIT

BEGIN

SET DateStyle = 'SQL'

SELECT 1/0

ROLLBACK
