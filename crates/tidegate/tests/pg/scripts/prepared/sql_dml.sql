-- Statements that change something, prepared in SQL.

CREATE TABLE t (x int, y text)

PREPARE ins AS INSERT INTO t VALUES ($1, $2) RETURNING x

EXECUTE ins(1, 'one')

EXECUTE ins(null, null)

PREPARE del(int) AS DELETE FROM t WHERE x = $1

EXECUTE del(1)

EXPLAIN (COSTS OFF) EXECUTE del(5)

CREATE TABLE u AS EXECUTE ins(3, 'three')

SELECT * FROM t ORDER BY x
