-- The first statement behind BEGIN is one that nobody understands.

BEGIN

SELEC 1

SELECT 1

ROLLBACK

START TRANSACTION READ ONLY

INSERT INTO nowhere VALUES (1)

COMMIT
