-- A chain goes on after a failure.

CREATE TABLE t (x int)

BEGIN ISOLATION LEVEL SERIALIZABLE

SELECT 1/0

COMMIT AND CHAIN

INSERT INTO t VALUES (1)

SHOW transaction_isolation

COMMIT

SELECT count(*) FROM t
