-- Under REPEATABLE READ nothing changes until the end, and conflicts are errors.

CREATE TABLE t (id int PRIMARY KEY, x int)

INSERT INTO t VALUES (1, 1)

BEGIN ISOLATION LEVEL REPEATABLE READ

SELECT x FROM t

-- session: b
UPDATE t SET x = 2

SELECT x FROM t

UPDATE t SET x = 3

ROLLBACK

SELECT x FROM t
