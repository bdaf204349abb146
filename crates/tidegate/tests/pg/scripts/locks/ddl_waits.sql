-- A change of a table waits for its readers, and readers for the change.

CREATE TABLE t (x int)

BEGIN

SELECT count(*) FROM t

-- session: b
-- blocks
ALTER TABLE t ADD y int

-- session: c
-- blocks
SELECT * FROM t

COMMIT

-- session: b
-- receive

-- session: c
-- receive
