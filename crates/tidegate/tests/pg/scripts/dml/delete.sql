-- Deletes, with what they return.

CREATE TABLE t AS SELECT g AS id FROM generate_series(1, 6) g

DELETE FROM t WHERE id % 2 = 0 RETURNING id

DELETE FROM t USING (VALUES (1), (9)) AS v(id) WHERE t.id = v.id

DELETE FROM t

DELETE FROM t RETURNING *

TRUNCATE t
