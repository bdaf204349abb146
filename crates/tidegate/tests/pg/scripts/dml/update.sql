-- Updates with joins, defaults, rows, and nothing to do.

CREATE TABLE t (id int PRIMARY KEY, a int DEFAULT 5, b text)

INSERT INTO t VALUES (1, 1, 'x'), (2, 2, 'y'), (3, 3, 'z')

UPDATE t SET a = a * 10 WHERE id > 1 RETURNING id, a

UPDATE t SET (a, b) = (SELECT 0, 'row'), id = id WHERE id = 1

UPDATE t SET b = v.name FROM (VALUES (2, 'two'), (3, 'three')) AS v(id, name) WHERE v.id = t.id

UPDATE t SET a = DEFAULT WHERE id = 3

UPDATE t SET a = 1 WHERE false

SELECT * FROM t ORDER BY id
