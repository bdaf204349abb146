-- Notices between rows.

CREATE FUNCTION noisy(i int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'row %', i; RETURN i; END $$

SELECT noisy(g) FROM generate_series(1, 3) g

SELECT noisy(1) / (noisy(2) - 2)
