-- Settings of the planner show in plans.

CREATE TABLE t (id int PRIMARY KEY)

SET enable_indexscan = off

SET enable_bitmapscan = off

SET enable_indexonlyscan = off

EXPLAIN (COSTS OFF) SELECT * FROM t WHERE id = 1

RESET ALL

SET enable_seqscan = off

SET enable_bitmapscan = off

EXPLAIN (COSTS OFF) SELECT * FROM t ORDER BY id
