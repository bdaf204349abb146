-- A row of many columns, most of them null.

SELECT 1, null, null, null, null, null, null, null, 'x', null, null, null, null, null, null, null, null, null, null, null, repeat('w', 70000), null

SELECT array_agg(g) FROM generate_series(1, 10000) g
