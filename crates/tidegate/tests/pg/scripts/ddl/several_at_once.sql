-- A migration as one Query is one transaction.
-- only: simple

CREATE TABLE t (x int); ALTER TABLE t ADD y int; CREATE INDEX ON t (y); INSERT INTO t VALUES (1, 2)

ALTER TABLE t ADD z int; ALTER TABLE t ADD z int

SELECT * FROM t

DROP TABLE t; CREATE TABLE t (single int); SELECT * FROM t
