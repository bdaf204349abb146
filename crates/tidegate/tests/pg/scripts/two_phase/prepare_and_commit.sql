-- A prepared transaction is committed later, by anybody.

CREATE TABLE t (x int)

BEGIN

INSERT INTO t VALUES (1)

PREPARE TRANSACTION 'one'

SELECT count(*) FROM t

-- session: b
COMMIT PREPARED 'one'

SELECT count(*) FROM t
