-- A whole transaction in a single Query, and several of them.
-- only: simple

BEGIN; SELECT 1; COMMIT

BEGIN; SELECT 1; COMMIT; BEGIN; SELECT 2; COMMIT; SELECT 3

BEGIN; SELECT 1/0; COMMIT

SELECT 'still in it?'

ROLLBACK

BEGIN READ ONLY; CREATE TABLE t (); COMMIT; SELECT 1

ROLLBACK; SELECT 1
