-- Sessions have statements of their own under the same name.

PREPARE mine AS SELECT 'of a'

-- session: b
PREPARE mine AS SELECT 'of b'

EXECUTE mine

-- session: b
EXECUTE mine

-- session: b
DEALLOCATE ALL

EXECUTE mine
