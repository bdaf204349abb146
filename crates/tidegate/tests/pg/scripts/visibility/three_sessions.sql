-- Three sessions take turns.

CREATE TABLE t (who text)

-- session: b
INSERT INTO t VALUES ('b')

-- session: c
BEGIN

-- session: c
INSERT INTO t VALUES ('c')

INSERT INTO t VALUES ('a')

SELECT who FROM t ORDER BY who

-- session: c
SELECT who FROM t ORDER BY who

-- session: c
COMMIT

-- session: b
SELECT who FROM t ORDER BY who
