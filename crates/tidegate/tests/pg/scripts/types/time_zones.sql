-- TimeZone says what a time of day means, and when summer time begins.

SET TimeZone = 'America/New_York'

SELECT '2024-03-10 01:59:59'::timestamptz, '2024-03-10 01:59:59'::timestamptz + interval '1 second', '2024-11-03 01:30'::timestamptz

SET TimeZone = 'Asia/Kolkata'

SELECT '2024-07-01 12:00+00'::timestamptz, extract(timezone FROM '2024-07-01 12:00+00'::timestamptz), '2024-07-01 12:00+00'::timestamptz::date

SET TIME ZONE INTERVAL '-3:30' HOUR TO MINUTE

SELECT '2024-07-01 12:00+00'::timestamptz, '2024-07-01 12:00+00'::timestamptz AT TIME ZONE 'Europe/Paris'

SET TIME ZONE LOCAL

SHOW TimeZone

SET TimeZone = 'Atlantis/City'
