-- SET LOCAL lasts to the end of its Query.
-- only: simple

SET LOCAL work_mem = '5MB'; SHOW work_mem

SHOW work_mem

SELECT set_config('app.x', 'here', true); SELECT current_setting('app.x')

SELECT current_setting('app.x', true)
