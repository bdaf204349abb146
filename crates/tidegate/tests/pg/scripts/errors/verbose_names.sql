-- Names of what was violated come as fields of their own.

CREATE SCHEMA shop

CREATE TABLE shop.item (id int CONSTRAINT item_key PRIMARY KEY, n int NOT NULL)

INSERT INTO shop.item VALUES (1, null)

INSERT INTO shop.item VALUES (1, 1), (1, 2)

CREATE DOMAIN shop.even AS int CONSTRAINT is_even CHECK (value % 2 = 0)

SELECT 3::shop.even
