-- In a failed transaction nothing but its end is executed.

BEGIN

SELECT 1/0

SELECT 1

SHOW TimeZone

SET application_name = 'x'

COMMIT

SELECT 1
