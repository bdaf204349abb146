-- Several statements in one Query, with empty ones between.
-- only: simple

SELECT 1; SELECT 2;; SELECT 3;

; SELECT 4; /* comment */ ; SELECT 5 --end

SELECT 6; SELEC 7; SELECT 8

SELECT 9; SELECT 1/0; SELECT 10

CREATE TABLE t (x int); INSERT INTO t VALUES (1), (2); UPDATE t SET x = 0; DELETE FROM t; DROP TABLE t
