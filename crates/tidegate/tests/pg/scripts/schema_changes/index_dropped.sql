-- A plan that used an index is made anew without it.

CREATE TABLE t AS SELECT g AS id FROM generate_series(1, 100) g

CREATE UNIQUE INDEX t_id ON t (id)

PREPARE p(int) AS SELECT id FROM t WHERE id = $1

EXECUTE p(5)

-- session: b
DROP INDEX t_id

EXECUTE p(6)

INSERT INTO t VALUES (5)

EXECUTE p(5)
