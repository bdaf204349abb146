-- Twenty thousand rows.

SELECT g, g * g AS square, 'row ' || g AS name FROM generate_series(1, 20000) g

SELECT count(*) FROM generate_series(1, 1000000)
