-- Some commands refuse to run in a transaction.

CREATE TABLE t (x int)

VACUUM t

BEGIN

VACUUM t

ROLLBACK

BEGIN

CREATE INDEX CONCURRENTLY ON t (x)

ROLLBACK

CREATE INDEX CONCURRENTLY t_x ON t (x)
