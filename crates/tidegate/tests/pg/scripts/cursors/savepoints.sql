-- A cursor that was opened behind a savepoint goes with it; one before it keeps its place.

BEGIN

DECLARE c CURSOR FOR SELECT g FROM generate_series(1, 5) g

FETCH c

SAVEPOINT s

FETCH c

DECLARE d CURSOR FOR SELECT 'd'

ROLLBACK TO s

FETCH c

FETCH d

ROLLBACK
