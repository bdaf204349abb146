-- A type and a cast that the application has made itself.

CREATE TYPE celsius AS (degrees numeric)

CREATE FUNCTION to_number_of(celsius) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT $1.degrees'

CREATE CAST (celsius AS numeric) WITH FUNCTION to_number_of(celsius) AS IMPLICIT

SELECT ROW(21.5)::celsius::numeric, ROW(21.5)::celsius + 1

SELECT ROW(21.5)::celsius::date
