-- What is told when a savepoint takes a setting back.

BEGIN

SET TimeZone = 'Asia/Tokyo'

SAVEPOINT s

SET TimeZone = 'Europe/Paris'

SELECT 1

ROLLBACK TO s

SHOW TimeZone

SELECT 1/0

ROLLBACK TO s

RELEASE s

COMMIT

SHOW TimeZone
