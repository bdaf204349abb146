-- A trigger tells of changes.

CREATE TABLE t (id int)

CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_notify('changes', TG_OP || ' ' || new.id); RETURN null; END $$

CREATE TRIGGER tell AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION tell()

LISTEN changes

-- session: b
INSERT INTO t VALUES (1), (2)

-- await notification

-- await notification
