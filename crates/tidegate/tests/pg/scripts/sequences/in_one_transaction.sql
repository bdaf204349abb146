-- Within a transaction currval and lastval are always at hand.

CREATE TABLE t (id serial, name text)

BEGIN

INSERT INTO t (name) VALUES ('one'), ('two')

SELECT lastval()

INSERT INTO t (name) VALUES ('three')

SELECT currval('t_id_seq')

COMMIT

SELECT id FROM t ORDER BY id
