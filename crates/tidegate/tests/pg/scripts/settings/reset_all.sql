-- RESET ALL takes everything back.

SET work_mem = '5MB'

SET app.tenant = '7'

SET IntervalStyle = 'iso_8601'

RESET ALL

SHOW work_mem

SELECT interval '1 day', current_setting('app.tenant')

BEGIN

SET work_mem = '6MB'

RESET ALL

SHOW work_mem

ROLLBACK

SHOW work_mem
