-- SET lasts, RESET takes it back to what it was at the login.

SET work_mem = '7MB'

SHOW work_mem

SET work_mem TO 8192

SHOW work_mem

SELECT current_setting('work_mem'), setting, unit FROM pg_settings WHERE name = 'work_mem'

SET work_mem TO DEFAULT

SET enable_seqscan = off

RESET enable_seqscan

SHOW enable_seqscan
