-- A time zone and a style of dates that the client has logged in with.
-- startup: TimeZone=Asia/Tokyo
-- startup: DateStyle=German

SELECT '2024-02-01 10:00+00'::timestamptz, '1.2.2024'::date

SET TimeZone = 'UTC'

RESET TimeZone

SHOW TimeZone

BEGIN

SET LOCAL DateStyle = 'ISO'

SELECT '2024-02-01'::date

COMMIT

SELECT '2024-02-01'::date
