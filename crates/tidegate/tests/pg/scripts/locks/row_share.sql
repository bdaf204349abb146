-- Rows that are locked to be kept, and rows that are locked to be changed.

CREATE TABLE t (id int PRIMARY KEY)

INSERT INTO t VALUES (1)

BEGIN

SELECT id FROM t FOR SHARE

-- session: b
SELECT id FROM t FOR KEY SHARE NOWAIT

-- session: b
SELECT id FROM t FOR NO KEY UPDATE NOWAIT

ROLLBACK

SELECT id, count(*) FROM t GROUP BY id FOR UPDATE
