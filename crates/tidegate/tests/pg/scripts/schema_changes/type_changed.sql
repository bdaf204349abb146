-- A prepared statement after a column has become of another type.

CREATE TABLE t (a int)

INSERT INTO t VALUES (1)

PREPARE p AS SELECT a FROM t

PREPARE q AS SELECT count(a) FROM t

EXECUTE p

ALTER TABLE t ALTER a TYPE text

EXECUTE p

EXECUTE q
