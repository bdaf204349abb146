-- The schema for temporary objects of a session that has made none.

-- session: b
CREATE TEMP TABLE t (x int)

-- session: b
DISCARD TEMP

SELECT pg_temp.nothing()
