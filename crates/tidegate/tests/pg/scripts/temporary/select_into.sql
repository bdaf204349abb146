-- Temporary tables that are made without CREATE.

SELECT 1 AS x INTO TEMP one

SELECT 2 AS x INTO TEMPORARY TABLE two

SELECT one.x, two.x FROM one, two

CREATE TABLE pg_temp.three AS SELECT 3 AS x

SELECT x FROM three
