-- COPY TO STDOUT, as text.

CREATE TABLE t (id int, name text)

INSERT INTO t VALUES (1, E'tab\there'), (2, null), (3, E'back\\slash\nline'), (4, '')

COPY t TO STDOUT

COPY (SELECT id, upper(name) FROM t WHERE id < 3 ORDER BY id) TO STDOUT

COPY t (name) TO STDOUT WITH (NULL 'nil', DELIMITER '|')
