-- RETURNING tells values before and after.
-- from version: 18

CREATE TABLE t (id int, n int)

INSERT INTO t VALUES (1, 10) RETURNING old.n, new.n

UPDATE t SET n = 11 RETURNING old.n AS before, new.n AS after

DELETE FROM t RETURNING old.*, new.n
