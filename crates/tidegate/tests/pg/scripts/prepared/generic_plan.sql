-- After five executions a plan may become generic; the answers stay the same.

CREATE TABLE t AS SELECT g AS id, g % 3 AS kind FROM generate_series(1, 30) g

PREPARE k(int) AS SELECT count(*) FROM t WHERE kind = $1

EXECUTE k(0)

EXECUTE k(1)

EXECUTE k(2)

EXECUTE k(3)

EXECUTE k(null)

EXECUTE k(0)

SELECT generic_plans + custom_plans AS executed FROM pg_prepared_statements WHERE name = 'k'
