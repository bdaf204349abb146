-- The same text means something else under another setting.

SELECT '2024-01-01 00:00'::timestamptz

SET TimeZone = 'Asia/Tokyo'

SELECT '2024-01-01 00:00'::timestamptz

SET DateStyle = 'ISO, DMY'

SELECT '01/02/2024'::date

SET DateStyle = 'ISO, MDY'

SELECT '01/02/2024'::date
