-- Queries that refer to themselves.

WITH RECURSIVE fib(a, b) AS (SELECT 0, 1 UNION ALL SELECT b, a + b FROM fib WHERE b < 50) SELECT a FROM fib

WITH RECURSIVE walk(n, path) AS (SELECT 1, '1' UNION ALL SELECT n + 1, path || '>' || n + 1 FROM walk WHERE n < 4) SELECT path FROM walk ORDER BY n DESC LIMIT 1

WITH RECURSIVE r(x) AS (SELECT 1 UNION SELECT x % 3 + 1 FROM r) SELECT x FROM r ORDER BY x

WITH RECURSIVE r(x) AS (SELECT x FROM r) SELECT x FROM r
