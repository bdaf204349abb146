-- A column of an enum, whose type is described by an OID of the script's own.

CREATE TYPE size AS ENUM ('small', 'large')

CREATE TABLE shirt (id int, size size)

INSERT INTO shirt VALUES (1, 'large'), (2, 'small'), (3, null)

SELECT id, size, size::text FROM shirt ORDER BY shirt.size NULLS LAST

INSERT INTO shirt VALUES (4, 'huge')
