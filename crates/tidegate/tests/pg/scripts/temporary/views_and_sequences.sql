-- Other objects may be temporary, too.

CREATE TEMP TABLE t AS SELECT 5 AS x

CREATE TEMP VIEW v AS SELECT x + 1 AS y FROM t

CREATE VIEW w AS SELECT x FROM t

CREATE TEMP SEQUENCE s START 10

SELECT y, nextval('s'), nextval('pg_temp.s') FROM v

SELECT x FROM w

-- session: b
SELECT nextval('s')
