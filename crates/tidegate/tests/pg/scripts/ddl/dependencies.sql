-- What depends on a table keeps it, or goes with it.

CREATE TABLE t (a int, b int)

CREATE VIEW v AS SELECT a FROM t

DROP TABLE t

ALTER TABLE t DROP COLUMN a

ALTER TABLE t ALTER COLUMN a TYPE text

DROP TABLE t CASCADE

SELECT * FROM v
