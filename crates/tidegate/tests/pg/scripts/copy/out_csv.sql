-- COPY TO STDOUT, as CSV.

CREATE TABLE t (id int, name text)

INSERT INTO t VALUES (1, 'a,b'), (2, 'say "hi"'), (3, null), (4, ''), (5, E'two\nlines')

COPY t TO STDOUT (FORMAT csv, HEADER)

COPY t TO STDOUT (FORMAT csv, FORCE_QUOTE (id), DELIMITER ';', QUOTE '''')

COPY t (id) TO STDOUT CSV
