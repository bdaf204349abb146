-- A trigger sees all rows of its statement.

CREATE TABLE t (x int)

CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '% rows, sum %', (SELECT count(*) FROM fresh), (SELECT sum(x) FROM fresh); RETURN null; END $$

CREATE TRIGGER s AFTER INSERT ON t REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION tell()

INSERT INTO t VALUES (1), (2), (3)

INSERT INTO t SELECT 1 WHERE false
