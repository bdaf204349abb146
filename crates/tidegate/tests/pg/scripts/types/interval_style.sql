-- IntervalStyle says how intervals are written.

SELECT interval '1 year 2 mons -3 days 04:05:06.7', interval '-1 hour'

SET IntervalStyle = 'iso_8601'

SELECT interval '1 year 2 mons -3 days 04:05:06.7', interval '-1 hour'

SET IntervalStyle = 'sql_standard'

SELECT interval '1 year 2 mons -3 days 04:05:06.7', interval '-1 hour'

SET IntervalStyle = 'postgres_verbose'

SELECT interval '1 year 2 mons -3 days 04:05:06.7', interval '-1 hour', justify_interval('40 days 30 hours')
