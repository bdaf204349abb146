-- Dates: the ends of the calendar, leap days, impossible days.

SELECT '2024-02-29'::date, '4713-01-01 BC'::date, '5874897-12-31'::date, 'infinity'::date, 'epoch'::date

SELECT '2024-03-31'::date - '2024-02-29'::date, '2024-01-31'::date + interval '1 month', date_trunc('week', '2024-05-15'::timestamp)

SELECT '2023-02-29'::date

SELECT 'someday'::date
