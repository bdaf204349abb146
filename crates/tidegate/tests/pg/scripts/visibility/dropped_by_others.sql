-- A table that another session has dropped is gone.

CREATE TABLE t (x int)

SELECT * FROM t

-- session: b
DROP TABLE t

SELECT * FROM t

-- session: b
CREATE TABLE t (x int, y text)

SELECT * FROM t
