-- Sessions do not share their settings.

SET TimeZone = 'Asia/Tokyo'

-- session: b
SHOW TimeZone

-- session: b
SET app.name = 'b'

SELECT nullif(current_setting('app.name', true), '')

-- session: b
SELECT nullif(current_setting('app.name', true), '')

SHOW TimeZone
