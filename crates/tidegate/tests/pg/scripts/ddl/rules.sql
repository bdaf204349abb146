-- Rules rewrite statements, and with them the command tag.

CREATE TABLE t (x int)

CREATE TABLE log (x int)

CREATE RULE quiet AS ON DELETE TO t DO INSTEAD NOTHING

CREATE RULE also AS ON INSERT TO t DO ALSO INSERT INTO log VALUES (new.x)

INSERT INTO t VALUES (1)

DELETE FROM t

DELETE FROM t RETURNING x

SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM log)
