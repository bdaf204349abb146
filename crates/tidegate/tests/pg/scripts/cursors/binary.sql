-- A cursor whose rows are binary whatever is asked for.

BEGIN

DECLARE c BINARY CURSOR FOR SELECT 258 AS n, 'text' AS t, true AS b

FETCH c

COMMIT
