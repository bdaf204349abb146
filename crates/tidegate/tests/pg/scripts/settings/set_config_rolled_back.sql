-- What set_config sets for the session is rolled back, too.

SELECT set_config('app.who', 'one', false)

BEGIN

SELECT set_config('app.who', 'two', false)

SAVEPOINT s

SELECT set_config('app.who', 'three', false)

ROLLBACK TO s

SELECT current_setting('app.who')

ROLLBACK

SELECT current_setting('app.who')

SELECT set_config('work_mem', 'much', false)

SELECT set_config('nothing', 'x', false)
