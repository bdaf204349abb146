-- Subqueries of all kinds.

SELECT (SELECT max(g) FROM generate_series(1, 3) g), ARRAY(SELECT g FROM generate_series(1, 3) g), 2 IN (SELECT g FROM generate_series(1, 3) g)

SELECT 5 NOT IN (SELECT null::int), 5 > ALL (SELECT g FROM generate_series(1, 3) g), (1, 2) = (SELECT 1, 2)

SELECT (SELECT g FROM generate_series(1, 2) g)

SELECT (SELECT 1, 2)
