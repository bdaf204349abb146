-- An error with a message of many bytes.

DO $$ BEGIN RAISE EXCEPTION '%', repeat('long ', 40000); END $$

SELECT 'after'

SELECT repeat('9', 100000)::int
