-- What functions do with null.

CREATE FUNCTION strict_one(int) RETURNS int STRICT LANGUAGE sql AS 'SELECT 1'

SELECT strict_one(null), strict_one(5)

CREATE FUNCTION no_return() RETURNS int LANGUAGE plpgsql AS $$ BEGIN END $$

SELECT no_return()

CREATE FUNCTION nothing_found() RETURNS int LANGUAGE sql AS 'SELECT 1 WHERE false'

SELECT nothing_found()
