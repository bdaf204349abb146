-- Two BEGINs before anything else, then their end.

BEGIN

START TRANSACTION READ ONLY

CREATE TABLE t (x int)

COMMIT
