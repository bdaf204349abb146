-- set_config as a statement of its own and inside others.

SELECT set_config('work_mem', '5MB', false)

SHOW work_mem

SELECT set_config('work_mem', '6MB', true)

SHOW work_mem

BEGIN

SELECT set_config('work_mem', '7MB', true), set_config('app.x', 'y', true)

SELECT current_setting('work_mem'), current_setting('app.x')

COMMIT

SELECT current_setting('work_mem'), current_setting('app.x')

SELECT g, set_config('app.n', g::text, false) FROM generate_series(1, 3) g

SELECT current_setting('app.n')
