-- What columns are called when nobody says so, and when names are strange.

SELECT 1, 'x'::text, lower('A'), CASE WHEN true THEN 1 END, ARRAY[1], coalesce(1, 2), (SELECT 5 AS inner_name), EXISTS (SELECT 1)

SELECT 1 AS "with ""quotes""", 2 AS "ümlaut", 3 AS "select", 4 AS "", 5 AS a, 6 AS a

SELECT 1 AS a_name_that_is_much_longer_than_the_sixty_three_bytes_that_postgresql_keeps
