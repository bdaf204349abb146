-- Two thousand notices.

DO $$ BEGIN FOR i IN 1..2000 LOOP RAISE NOTICE 'number % of many', i; END LOOP; END $$

SELECT 'after'
