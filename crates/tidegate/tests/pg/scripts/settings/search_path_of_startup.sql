-- The search path that the client has logged in with.
-- startup: search_path=mine,public

CREATE SCHEMA mine

CREATE TABLE t AS SELECT 1 AS x

SELECT schemaname FROM pg_tables WHERE tablename = 't'

SET search_path = public

SELECT * FROM t

RESET search_path

SHOW search_path
