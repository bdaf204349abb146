-- DISCARD ALL does not run among other statements.
-- only: simple

SELECT 1; DISCARD ALL

DISCARD ALL; SELECT 2

SELECT 3
