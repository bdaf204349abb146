-- A RESET that is rolled back has not been.

SET work_mem = '5MB'

BEGIN

RESET work_mem

SHOW work_mem

ROLLBACK

SHOW work_mem

BEGIN

RESET ALL

ROLLBACK

SHOW work_mem
