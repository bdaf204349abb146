-- A statement prepared in a transaction lives on after it.

BEGIN

PREPARE inside AS SELECT 'inside'

COMMIT

EXECUTE inside

-- session: b
EXECUTE inside
