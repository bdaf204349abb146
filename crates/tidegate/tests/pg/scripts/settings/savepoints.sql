-- What is set behind a savepoint goes back to it.

BEGIN

SET application_name = 'one'

SAVEPOINT s

SET application_name = 'two'

SET LOCAL work_mem = '5MB'

ROLLBACK TO s

SHOW application_name

SHOW work_mem

SAVEPOINT t

SET application_name = 'three'

RELEASE t

COMMIT

SHOW application_name
