-- COPY of no rows, of no columns, of what does not exist.

CREATE TABLE t (x int)

COPY t TO STDOUT

COPY (SELECT FROM generate_series(1, 2)) TO STDOUT

COPY nowhere TO STDOUT

COPY t (nothing) TO STDOUT

COPY (SELECT 1/0) TO STDOUT

COPY (SELECT 6 / (3 - g) FROM generate_series(1, 4) g) TO STDOUT
