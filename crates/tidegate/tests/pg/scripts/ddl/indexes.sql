-- Indexes, also such that only some rows are in, or only expressions.

CREATE TABLE t (a int, b text)

CREATE INDEX ON t (a)

CREATE UNIQUE INDEX t_lower ON t (lower(b)) WHERE a > 0

INSERT INTO t VALUES (1, 'X'), (0, 'x')

INSERT INTO t VALUES (2, 'x')

SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 't' ORDER BY 1

REINDEX TABLE t

DROP INDEX t_lower

DROP INDEX t_lower
