-- Timestamps to the microsecond.

SELECT '2024-01-01 00:00:00.123456'::timestamp, '2024-01-01 00:00:00.1234567'::timestamp, '2024-01-01 12:34:56.7'::timestamp(0), '-infinity'::timestamptz

SELECT '2024-06-30 23:59:60'::timestamp, 'allballs'::time, '24:00'::time, '10:00+05:30'::timetz, to_timestamp(0)

SELECT age('2024-03-01'::timestamp, '2023-12-31'), extract(epoch FROM '2024-01-01 00:00+00'::timestamptz), make_timestamp(2024, 1, 2, 3, 4, 5.5)

SELECT '2024-13-01'::timestamp
