-- DateStyle says how dates are read and written.

SET DateStyle = 'SQL, DMY'

SELECT '03/04/2024'::date, '2024-04-03 15:00'::timestamp, '2024-04-03 15:00+00'::timestamptz

SET DateStyle = 'German'

SELECT '03.04.2024'::date, '2024-04-03 15:00'::timestamp

SET DateStyle = 'Postgres, MDY'

SELECT '03/04/2024'::date, '2024-04-03 15:00'::timestamp

SHOW DateStyle

SET DateStyle = 'French'
