-- A session that listens does other work, and prepared statements, too.

LISTEN news

CREATE TABLE t (x int)

INSERT INTO t VALUES (1)

BEGIN

UPDATE t SET x = 2

NOTIFY news, 'updated'

COMMIT

SELECT x FROM t

UNLISTEN *
