-- More settings at once than an application usually has.

SELECT set_config('app.s' || g, 'value ' || g, false) FROM generate_series(1, 40) g

SELECT current_setting('app.s1'), current_setting('app.s40')

SET work_mem = '5MB'

SET random_page_cost = 1.5

SET statement_timeout = '1h'

SET default_statistics_target = 7

SELECT current_setting('app.s20'), current_setting('work_mem'), current_setting('random_page_cost'), current_setting('default_statistics_target')
