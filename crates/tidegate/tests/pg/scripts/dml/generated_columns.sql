-- Columns that are computed from others.

CREATE TABLE t (w int, h int, area int GENERATED ALWAYS AS (w * h) STORED)

INSERT INTO t VALUES (2, 3) RETURNING *

UPDATE t SET w = 10 RETURNING area

INSERT INTO t VALUES (1, 1, 1)

UPDATE t SET area = 0

INSERT INTO t VALUES (1, 1, DEFAULT) RETURNING area
