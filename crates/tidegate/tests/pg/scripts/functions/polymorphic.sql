-- Functions for any type, for any number of arguments, for none.

CREATE FUNCTION twice(anyelement) RETURNS anyarray LANGUAGE sql AS 'SELECT ARRAY[$1, $1]'

SELECT twice(1), twice('x'::text)

CREATE FUNCTION total(VARIADIC int[]) RETURNS bigint LANGUAGE sql AS 'SELECT sum(n) FROM unnest($1) n'

SELECT total(1, 2, 3), total(VARIADIC ARRAY[4, 5])

SELECT twice(null)

CREATE FUNCTION nop() RETURNS void LANGUAGE sql AS ''

SELECT nop()
