-- Rows as values.
-- only: text

CREATE TYPE money_amount AS (currency text, cents int8)

SELECT ROW('EUR', 100)::money_amount, (ROW('a "b"', null)::money_amount).currency, ROW(1, 'x', null)

CREATE TABLE price (id int, amount money_amount)

INSERT INTO price VALUES (1, ROW('EUR', 5)), (2, null) RETURNING id, amount, (amount).cents

SELECT p FROM price p ORDER BY id

SELECT '(EUR)'::money_amount
