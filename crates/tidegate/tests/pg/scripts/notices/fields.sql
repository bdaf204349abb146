-- All that may stand in a notice.

DO $$ BEGIN RAISE NOTICE 'a % of %', 'b', 5 USING DETAIL = 'the detail', HINT = 'the hint', ERRCODE = '01234', COLUMN = 'c', CONSTRAINT = 'k', DATATYPE = 'd', TABLE = 't', SCHEMA = 's'; END $$

DO $$ BEGIN RAISE NOTICE '%', E'two\nlines, grün'; END $$

DO $$ BEGIN RAISE NOTICE ''; END $$
