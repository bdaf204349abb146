-- Generated columns that are computed when they are read.
-- from version: 18

CREATE TABLE t (w int, h int, area int GENERATED ALWAYS AS (w * h))

INSERT INTO t VALUES (2, 3) RETURNING *

UPDATE t SET w = 10 RETURNING area

UPDATE t SET area = 0
