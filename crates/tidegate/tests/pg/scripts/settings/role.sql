-- SET ROLE changes whose rights count.

CREATE ROLE clerk

CREATE TABLE secret (x int)

CREATE TABLE open AS SELECT 1 AS x

GRANT SELECT ON open TO clerk

SET ROLE clerk

SELECT current_user, session_user, current_setting('is_superuser')

SELECT * FROM open

SELECT * FROM secret

RESET ROLE

SELECT * FROM secret

SET ROLE nobody_at_all

SET ROLE NONE

SELECT current_user
