-- Errors with hints and details.

CREATE TABLE t (name text, number int)

SELECT nmae FROM t

SELECT t.nmbr FROM t x

SELECT lenght('x')

INSERT INTO t VALUES (1, 2, 3)

SELECT name, count(*) FROM t

SELECT a.x FROM t AS b
