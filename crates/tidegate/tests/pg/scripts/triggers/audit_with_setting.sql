-- A trigger writes down who it was, by a setting of the session.

CREATE TABLE t (x int)

CREATE TABLE log (who text, op text)

CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (current_setting('app.who'), TG_OP); RETURN null; END $$

CREATE TRIGGER audit AFTER INSERT OR UPDATE ON t FOR EACH STATEMENT EXECUTE FUNCTION audit()

SET app.who = 'ann'

INSERT INTO t VALUES (1)

BEGIN

SET LOCAL app.who = 'bob'

UPDATE t SET x = 2

COMMIT

UPDATE t SET x = 3

SELECT who, op FROM log ORDER BY ctid
