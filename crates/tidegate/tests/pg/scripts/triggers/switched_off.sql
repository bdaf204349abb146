-- Triggers are switched off, for one and for all.

CREATE TABLE t (x int)

CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'here'; RETURN new; END $$

CREATE TRIGGER shout BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION shout()

INSERT INTO t VALUES (1)

ALTER TABLE t DISABLE TRIGGER shout

INSERT INTO t VALUES (2)

ALTER TABLE t ENABLE TRIGGER ALL

SET session_replication_role = replica

INSERT INTO t VALUES (3)

RESET session_replication_role

INSERT INTO t VALUES (4)
