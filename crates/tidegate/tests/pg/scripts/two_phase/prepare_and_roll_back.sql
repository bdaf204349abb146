-- A prepared transaction is rolled back, and then there is none.

CREATE TABLE t (x int)

BEGIN

INSERT INTO t VALUES (1)

PREPARE TRANSACTION 'it''s "quoted"'

SELECT gid, database, owner FROM pg_prepared_xacts

ROLLBACK PREPARED 'it''s "quoted"'

ROLLBACK PREPARED 'it''s "quoted"'

COMMIT PREPARED 'nothing'

SELECT count(*) FROM t
