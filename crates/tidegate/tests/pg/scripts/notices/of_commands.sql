-- Notices and warnings that PostgreSQL gives by itself.

DROP TABLE IF EXISTS nothing

CREATE TABLE t (x int)

CREATE TABLE IF NOT EXISTS t (x int)

TRUNCATE t

ALTER TABLE IF EXISTS nothing ADD y int

CREATE VIEW v AS SELECT * FROM t

DROP TABLE t CASCADE

SELECT 'a\b'
