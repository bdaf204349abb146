-- DISCARD ALL by a session that has nothing, and by another.

DISCARD ALL

-- session: b
DISCARD ALL

DISCARD ALL

SELECT 1
