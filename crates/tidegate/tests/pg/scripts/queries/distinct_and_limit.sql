-- DISTINCT ON, LIMIT, OFFSET, WITH TIES, and limits that are no limits.

SELECT DISTINCT ON (g % 2) g % 2 AS odd, g FROM generate_series(1, 6) g ORDER BY g % 2, g DESC

SELECT g FROM generate_series(1, 6) g ORDER BY g / 2 FETCH FIRST 2 ROWS WITH TIES

SELECT g FROM generate_series(1, 3) g LIMIT null OFFSET 1

SELECT g FROM generate_series(1, 3) g LIMIT 0

SELECT 1 LIMIT -1
