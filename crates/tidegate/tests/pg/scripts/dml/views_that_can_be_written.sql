-- Simple views take inserts, and check what they show.

CREATE TABLE t (id int, kind text)

CREATE VIEW v AS SELECT id, kind FROM t WHERE kind = 'v' WITH CHECK OPTION

INSERT INTO v VALUES (1, 'v') RETURNING *

INSERT INTO v VALUES (2, 'other')

UPDATE v SET id = 10

DELETE FROM v RETURNING id

CREATE VIEW sums AS SELECT count(*) AS n FROM t

DELETE FROM sums
