-- A function in the session's own schema is found only by its full name.

CREATE FUNCTION pg_temp.half(x int) RETURNS int LANGUAGE sql AS 'SELECT x / 2'

SELECT pg_temp.half(10)

SELECT half(10)

-- session: b
SELECT half(10)
