-- An insert waits whether the same key of another transaction will stand.

CREATE TABLE t (k int PRIMARY KEY)

BEGIN

INSERT INTO t VALUES (1)

-- session: b
-- blocks
INSERT INTO t VALUES (1)

COMMIT

-- session: b
-- receive

BEGIN

INSERT INTO t VALUES (2)

-- session: b
-- blocks
INSERT INTO t VALUES (2)

ROLLBACK

-- session: b
-- receive
