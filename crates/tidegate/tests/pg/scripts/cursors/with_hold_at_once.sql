-- A cursor WITH HOLD outside of any transaction.

DECLARE h CURSOR WITH HOLD FOR SELECT g FROM generate_series(1, 3) g

FETCH h

BEGIN

FETCH h

ROLLBACK

FETCH h

CLOSE ALL

FETCH h
