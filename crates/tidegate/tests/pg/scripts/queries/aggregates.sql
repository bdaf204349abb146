-- Aggregates, over groups, sets of groups, and nothing.

SELECT count(*), sum(g), avg(g), min(g), max(g), string_agg(g::text, ',' ORDER BY g DESC), bool_and(g > 0) FROM generate_series(1, 4) g

SELECT sum(g), count(g), array_agg(g) FROM generate_series(1, 0) g

SELECT g % 2 AS odd, g % 3 AS third, count(*) FROM generate_series(1, 6) g GROUP BY ROLLUP (1, 2) ORDER BY 1, 2

SELECT g % 2, count(*) FILTER (WHERE g > 2) FROM generate_series(1, 5) g GROUP BY 1 HAVING count(*) > 2

SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY g), mode() WITHIN GROUP (ORDER BY g % 2) FROM generate_series(1, 5) g

SELECT g, count(*) FROM generate_series(1, 2) g
