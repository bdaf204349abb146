-- An error after rows have come.

SELECT 10 / (5 - g) FROM generate_series(1, 6) g

SELECT repeat('x', 1000), 10 / (50 - g) FROM generate_series(1, 60) g
