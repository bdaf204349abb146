-- Temporary tables that may be there already.

CREATE TEMP TABLE IF NOT EXISTS t (x int)

CREATE TEMP TABLE IF NOT EXISTS t (y int)

CREATE TEMP TABLE t (y int)

CREATE TABLE t (z int)

SELECT * FROM t
