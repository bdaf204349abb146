-- Sessions that change the same setting, in turns.

BEGIN

SET TimeZone = 'Asia/Tokyo'

-- session: b
SET TimeZone = 'Europe/Paris'

SHOW TimeZone

COMMIT

-- session: b
SHOW TimeZone

SHOW TimeZone

-- session: b
RESET TimeZone

SELECT '2024-07-01 00:00+00'::timestamptz

-- session: b
SELECT '2024-07-01 00:00+00'::timestamptz
