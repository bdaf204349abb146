-- A cursor that goes forward only.

BEGIN

DECLARE c NO SCROLL CURSOR FOR SELECT g FROM generate_series(1, 3) g

FETCH 2 FROM c

FETCH PRIOR FROM c

ROLLBACK

FETCH c
