-- Errors that the application raises itself, with codes of its own.

DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'AB123', MESSAGE = 'mine', DETAIL = 'd', HINT = 'h', TABLE = 't'; END $$

DO $$ BEGIN RAISE unique_violation; END $$

DO $$ BEGIN RAISE SQLSTATE '57P01'; END $$

DO $$ BEGIN RAISE SQLSTATE '53300' USING MESSAGE = 'not really'; END $$

DO $$ BEGIN ASSERT 1 = 2, 'one is not two'; END $$

SELECT 'still here'
