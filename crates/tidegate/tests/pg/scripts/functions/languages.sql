-- Functions in SQL and PL/pgSQL, with defaults and names of arguments.

CREATE FUNCTION add(a int, b int DEFAULT 10) RETURNS int LANGUAGE sql AS 'SELECT a + b'

SELECT add(1), add(1, 2), add(b => 5, a => 1)

CREATE FUNCTION fact(n int) RETURNS numeric LANGUAGE plpgsql AS $$ DECLARE r numeric := 1; BEGIN FOR i IN 2..n LOOP r := r * i; END LOOP; RETURN r; END $$

SELECT fact(20)

SELECT add()

CREATE OR REPLACE FUNCTION add(a int, b int DEFAULT 10) RETURNS text LANGUAGE sql AS 'SELECT ''x'''

DROP FUNCTION add
