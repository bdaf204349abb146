-- SET and SET LOCAL of the same setting in one transaction.

BEGIN

SET work_mem = '5MB'

SET LOCAL work_mem = '6MB'

SHOW work_mem

COMMIT

SHOW work_mem

BEGIN

SET LOCAL work_mem = '7MB'

SET work_mem = '8MB'

COMMIT

SHOW work_mem
