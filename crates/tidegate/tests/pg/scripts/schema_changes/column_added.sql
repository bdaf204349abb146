-- A prepared statement after a column was added.

CREATE TABLE t (a int)

INSERT INTO t VALUES (1)

PREPARE p AS SELECT * FROM t

EXECUTE p

ALTER TABLE t ADD b text DEFAULT 'new'

EXECUTE p

DEALLOCATE p

PREPARE p AS SELECT * FROM t

EXECUTE p
