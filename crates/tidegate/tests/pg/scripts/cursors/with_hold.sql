-- A cursor WITH HOLD outlives its transaction.

BEGIN

DECLARE held CURSOR WITH HOLD FOR SELECT g FROM generate_series(1, 4) g

FETCH held

COMMIT

FETCH 2 FROM held

SELECT name, is_holdable, statement FROM pg_cursors WHERE name = 'held'

CLOSE held

FETCH held
