-- Statements that change several tables at once.

CREATE TABLE queue (id int)

CREATE TABLE archive (id int, at text DEFAULT 'then')

INSERT INTO queue VALUES (1), (2), (3)

WITH gone AS (DELETE FROM queue WHERE id < 3 RETURNING id), kept AS (INSERT INTO archive SELECT id FROM gone RETURNING *) SELECT count(*), min(at) FROM kept

WITH one AS (UPDATE queue SET id = 30 RETURNING id) INSERT INTO archive SELECT id FROM one

WITH x AS (INSERT INTO queue VALUES (4)) SELECT count(*) FROM queue

SELECT id FROM archive ORDER BY id
