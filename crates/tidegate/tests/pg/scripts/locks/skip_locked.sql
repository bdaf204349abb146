-- A queue of work, from which each session takes what nobody else has.

CREATE TABLE job (id int PRIMARY KEY)

INSERT INTO job SELECT generate_series(1, 4)

BEGIN

DELETE FROM job WHERE id IN (SELECT id FROM job ORDER BY id LIMIT 2 FOR UPDATE SKIP LOCKED) RETURNING id

-- session: b
BEGIN

-- session: b
SELECT id FROM job ORDER BY id LIMIT 2 FOR UPDATE SKIP LOCKED

ROLLBACK

-- session: b
COMMIT

SELECT count(*) FROM job
