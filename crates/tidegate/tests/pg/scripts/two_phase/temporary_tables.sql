-- What belongs to the session can't be prepared.

CREATE TEMP TABLE t (x int)

BEGIN

INSERT INTO t VALUES (1)

PREPARE TRANSACTION 'temp'

SELECT count(*) FROM t
