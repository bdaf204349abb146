-- Window functions.

SELECT g, row_number() OVER w, sum(g) OVER w, lag(g) OVER w, first_value(g) OVER (PARTITION BY g % 2 ORDER BY g)
FROM generate_series(1, 5) g WINDOW w AS (ORDER BY g) ORDER BY g

SELECT g, avg(g) OVER (ORDER BY g ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING), ntile(2) OVER (ORDER BY g), rank() OVER (ORDER BY g / 2) FROM generate_series(1, 4) g ORDER BY g

SELECT row_number() OVER () + sum(count(*)) OVER ()
