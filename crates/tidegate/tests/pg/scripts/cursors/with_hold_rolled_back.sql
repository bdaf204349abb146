-- A cursor WITH HOLD goes with the transaction that made it, if that is rolled back.

BEGIN

DECLARE h CURSOR WITH HOLD FOR SELECT 1 AS one

ROLLBACK

FETCH h

SELECT count(*) FROM pg_cursors WHERE name = 'h'
