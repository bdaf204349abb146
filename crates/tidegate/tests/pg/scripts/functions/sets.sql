-- Functions that return many rows.

CREATE FUNCTION pairs() RETURNS TABLE (a int, b text) LANGUAGE sql AS 'VALUES (1, ''x''), (2, ''y'')'

SELECT * FROM pairs()

SELECT pairs()::text

CREATE FUNCTION evens(n int) RETURNS SETOF int LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..n LOOP IF i % 2 = 0 THEN RETURN NEXT i; END IF; END LOOP; END $$

SELECT e, evens(3) FROM evens(5) e

CREATE FUNCTION two_out(OUT a int, OUT b int) LANGUAGE sql AS 'SELECT 1, 2'

SELECT * FROM two_out()
