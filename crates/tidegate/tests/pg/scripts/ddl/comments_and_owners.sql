-- Comments, owners, rights.

CREATE ROLE reader

CREATE TABLE t (x int)

COMMENT ON COLUMN t.x IS 'it''s ünusual'

SELECT col_description('t'::regclass, 1), obj_description('t'::regclass)

GRANT SELECT (x), INSERT ON t TO reader

SELECT has_table_privilege('reader', 't', 'INSERT'), has_table_privilege('reader', 't', 'DELETE')

REVOKE ALL ON t FROM reader

ALTER TABLE t OWNER TO reader

SELECT tableowner FROM pg_tables WHERE tablename = 't'

DROP ROLE reader
