-- A SET that is rolled back has not been.

SET application_name = 'before'

BEGIN

SET application_name = 'inside'

SHOW application_name

ROLLBACK

SHOW application_name

BEGIN

SET application_name = 'kept'

COMMIT

SHOW application_name
