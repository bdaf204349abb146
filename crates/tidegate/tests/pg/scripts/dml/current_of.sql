-- The row under a cursor is changed.

CREATE TABLE t AS SELECT g AS id, 'old' AS state FROM generate_series(1, 3) g

BEGIN

DECLARE c CURSOR FOR SELECT id FROM t ORDER BY id FOR UPDATE

FETCH 2 FROM c

UPDATE t SET state = 'new' WHERE CURRENT OF c RETURNING id

DELETE FROM t WHERE CURRENT OF nothing

ROLLBACK

SELECT count(*) FROM t WHERE state = 'new'
