-- Transactions in which nothing happens.

BEGIN

COMMIT

BEGIN

ROLLBACK

START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY

COMMIT

BEGIN

/* a comment is nothing, too */

COMMIT
