-- The name of the application, as PostgreSQL shows it to others.

SET application_name = 'first ü name'

SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()

SET application_name = 'a name that is so long that it has more than sixty-three bytes, which is the end'

SHOW application_name

BEGIN

SET LOCAL application_name = 'for a moment'

SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()

COMMIT

SHOW application_name
