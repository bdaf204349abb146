-- The id of a row that was just inserted.

CREATE TABLE t (id serial, name text)

INSERT INTO t (name) VALUES ('one')

SELECT lastval()

INSERT INTO t (name) VALUES ('two') RETURNING id

SELECT currval(pg_get_serial_sequence('t', 'id'))

TRUNCATE t RESTART IDENTITY

INSERT INTO t (name) VALUES ('again') RETURNING id
