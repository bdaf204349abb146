-- The search path says which table a name means.

CREATE SCHEMA one

CREATE SCHEMA two

CREATE TABLE one.t AS SELECT 'one' AS name

CREATE TABLE two.t AS SELECT 'two' AS name

SET search_path = one

SELECT name FROM t

SET search_path = two, one

SELECT name FROM t

SELECT current_schema, current_schemas(true)

SET LOCAL search_path = one

SHOW search_path

SET search_path = ''

SELECT name FROM t

SET search_path TO DEFAULT

SELECT name FROM t
