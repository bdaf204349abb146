-- With pg_temp in front of the search path, tables are temporary without saying so.

SET search_path = pg_temp, public

CREATE TABLE t (x int)

INSERT INTO t VALUES (1)

RESET search_path

SELECT x FROM t

SELECT relpersistence FROM pg_class WHERE oid = 't'::regclass
