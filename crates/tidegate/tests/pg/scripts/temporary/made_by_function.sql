-- A function makes a temporary table.

CREATE FUNCTION prepare_cart() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CREATE TEMP TABLE cart (n int); INSERT INTO cart VALUES (3); END $$

SELECT prepare_cart()

SELECT n FROM cart

SELECT prepare_cart()

DISCARD TEMP

SELECT n FROM cart
