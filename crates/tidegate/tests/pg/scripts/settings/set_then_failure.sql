-- A SET in the same Query as a failure is undone with it.
-- only: simple

SET work_mem = '5MB'; SELECT 1/0

SHOW work_mem

SET work_mem = '6MB'; SELECT 1; SHOW work_mem

SHOW work_mem

BEGIN; SET work_mem = '7MB'; COMMIT; SELECT 1/0

SHOW work_mem
