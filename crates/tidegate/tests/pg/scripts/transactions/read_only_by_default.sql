-- A session that only reads unless a transaction says otherwise.

CREATE TABLE t (x int)

SET default_transaction_read_only = on

INSERT INTO t VALUES (1)

BEGIN READ WRITE

INSERT INTO t VALUES (2) RETURNING x

COMMIT

SHOW transaction_read_only

SELECT x FROM t

RESET default_transaction_read_only

INSERT INTO t VALUES (3)
