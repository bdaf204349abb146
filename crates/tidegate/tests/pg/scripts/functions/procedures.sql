-- Procedures, with arguments in both directions.

CREATE PROCEDURE double(INOUT n int) LANGUAGE plpgsql AS $$ BEGIN n := n * 2; END $$

CALL double(21)

CREATE PROCEDURE quiet(a int) LANGUAGE sql AS 'SELECT a'

CALL quiet(1)

SELECT quiet(1)

CALL nothing()

DROP PROCEDURE quiet
