-- The ways in which SQL sets a time zone.

SET TIME ZONE 'Europe/Rome'

SHOW TIME ZONE

SET TIME ZONE 5

SHOW TimeZone

SET SESSION TIME ZONE DEFAULT

SHOW TimeZone

SET LOCAL TIME ZONE 'Asia/Tokyo'

SET TimeZone TO 'PST8PDT'

SELECT '2024-07-01 00:00+00'::timestamptz
