-- PREPARE finds mistakes at once.

PREPARE bad AS SELECT nothing FROM nowhere

PREPARE bad AS SELEC 1

PREPARE bad(nothing) AS SELECT 1

EXECUTE bad

PREPARE ok AS SELECT $1::int

EXECUTE ok('x')
