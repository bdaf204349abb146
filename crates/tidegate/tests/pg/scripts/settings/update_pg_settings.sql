-- An UPDATE of pg_settings sets.

UPDATE pg_settings SET setting = '5MB' WHERE name = 'work_mem'

SHOW work_mem

BEGIN

UPDATE pg_settings SET setting = 'Asia/Tokyo' WHERE name = 'TimeZone'

SHOW TimeZone

ROLLBACK

SHOW TimeZone
