-- A DO block that sets, commits, and sets again.

DO $$ BEGIN PERFORM set_config('TimeZone', 'Asia/Tokyo', false); COMMIT; PERFORM set_config('TimeZone', 'Europe/Paris', true); END $$

SHOW TimeZone

DO $$ BEGIN PERFORM set_config('DateStyle', 'German', false); COMMIT; RAISE 'afterwards'; END $$

SHOW DateStyle
