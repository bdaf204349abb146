-- A constraint trigger speaks at the end of the transaction.

CREATE TABLE t (x int)

CREATE FUNCTION check_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'checking %', new.x; IF new.x = 0 THEN RAISE 'zero'; END IF; RETURN null; END $$

CREATE CONSTRAINT TRIGGER c AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_it()

BEGIN

INSERT INTO t VALUES (1)

SELECT 'before the end'

COMMIT

BEGIN

INSERT INTO t VALUES (0)

COMMIT

SELECT x FROM t
