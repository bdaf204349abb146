-- Another session changes what a statement was prepared for.

CREATE TABLE t (a int, b int)

INSERT INTO t VALUES (1, 2)

PREPARE p AS SELECT * FROM t

EXECUTE p

-- session: b
ALTER TABLE t DROP COLUMN b

EXECUTE p

-- session: b
DROP TABLE t

EXECUTE p
