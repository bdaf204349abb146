-- A role for a transaction, as row level security is often used.

CREATE ROLE web

CREATE TABLE t (x int)

BEGIN

SET LOCAL ROLE web

SELECT current_user

SELECT count(*) FROM t

ROLLBACK

SELECT current_user

BEGIN

SET ROLE web

COMMIT

SELECT current_user, current_setting('role')
