-- What is too much.

SELECT repeat('(', 20000)::point

SET statement_timeout = '200ms'

SELECT count(*) FROM generate_series(1, 100000000000)

RESET statement_timeout

CREATE FUNCTION deep(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN deep(n + 1); EXCEPTION WHEN statement_too_complex THEN RETURN 0; END $$

DROP FUNCTION deep

CREATE TABLE wide (x int, y text, x int)
