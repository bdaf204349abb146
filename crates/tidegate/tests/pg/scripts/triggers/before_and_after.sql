-- Triggers change rows, or refuse them.

CREATE TABLE t (id int, note text)

CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF new.id < 0 THEN RETURN null; END IF; new.note := coalesce(new.note, 'set'); RETURN new; END $$

CREATE TRIGGER b BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION change()

INSERT INTO t VALUES (1, null), (-1, 'x'), (2, 'own') RETURNING *

CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE '% on % refused', TG_OP, TG_TABLE_NAME; END $$

CREATE TRIGGER a AFTER DELETE ON t EXECUTE FUNCTION refuse()

DELETE FROM t

SELECT count(*) FROM t
