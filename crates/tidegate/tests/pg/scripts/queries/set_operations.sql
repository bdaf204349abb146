-- Unions, intersections, differences.

SELECT g FROM generate_series(1, 3) g UNION ALL SELECT 3 ORDER BY 1

SELECT g FROM generate_series(1, 5) g INTERSECT SELECT g FROM generate_series(3, 8) g ORDER BY 1

SELECT g FROM generate_series(1, 5) g EXCEPT SELECT 2 ORDER BY 1 DESC LIMIT 2 OFFSET 1

SELECT 1, 2 UNION SELECT 3
