-- Several settings in one Query, with a failure among them and without.
-- only: simple

SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German'; SHOW TimeZone

SHOW DateStyle

SET TimeZone = 'Europe/Paris'; SET DateStyle = 'nonsense'; SET IntervalStyle = 'iso_8601'

SHOW TimeZone

BEGIN; SET LOCAL TimeZone = 'Europe/Rome'; SHOW TimeZone; COMMIT; SHOW TimeZone

RESET ALL; SHOW TimeZone
