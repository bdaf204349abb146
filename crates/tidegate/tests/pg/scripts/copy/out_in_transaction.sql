-- COPY TO STDOUT inside a transaction, and a failure in the midst of it.

BEGIN

COPY (SELECT g FROM generate_series(1, 3) g) TO STDOUT

COPY (SELECT 6 / (3 - g) FROM generate_series(1, 4) g) TO STDOUT

SELECT 1

ROLLBACK
