-- Statements that are put together at run time.

CREATE TABLE t (x int)

DO $$ BEGIN EXECUTE format('INSERT INTO %I VALUES (%L)', 't', 5); EXECUTE 'INSERT INTO t VALUES ($1)' USING 6; END $$

SELECT x FROM t ORDER BY x

DO $$ BEGIN EXECUTE 'SELEC 1'; END $$

DO $$ DECLARE n int; BEGIN EXECUTE 'SELECT count(*) FROM t' INTO n; RAISE NOTICE '% rows', n; GET DIAGNOSTICS n = ROW_COUNT; END $$
