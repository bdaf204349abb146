-- Errors inside functions say on which way they came.

CREATE FUNCTION inner_one(x int) RETURNS int LANGUAGE sql AS 'SELECT 1 / x'

CREATE FUNCTION outer_one(x int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN inner_one(x); END $$

SELECT outer_one(0)

SELECT outer_one(1)

DO 'BEGIN PERFORM outer_one(0); END'

DO 'this is not plpgsql'

EXECUTE nothing
