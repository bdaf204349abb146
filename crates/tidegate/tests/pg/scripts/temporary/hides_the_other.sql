-- A temporary table hides the one of the same name.

CREATE TABLE t AS SELECT 'lasting' AS kind

CREATE TEMP TABLE t AS SELECT 'temporary' AS kind

SELECT kind FROM t

SELECT kind FROM public.t

DROP TABLE t

SELECT kind FROM t
