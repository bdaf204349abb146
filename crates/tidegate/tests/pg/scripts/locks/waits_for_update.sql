-- An update waits for another, and then sees what it did.

CREATE TABLE t (id int, n int)

INSERT INTO t VALUES (1, 0)

BEGIN

UPDATE t SET n = n + 1 WHERE id = 1

-- session: b
-- blocks
UPDATE t SET n = n + 10 WHERE id = 1 RETURNING n

COMMIT

-- session: b
-- receive

SELECT n FROM t
