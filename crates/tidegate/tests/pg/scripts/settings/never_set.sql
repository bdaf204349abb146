-- A setting of the application that was never set in this session.

SELECT current_setting('app.not_yet', true) IS NULL AS is_new

SET app.not_yet = 'now'

SELECT current_setting('app.not_yet', true)
