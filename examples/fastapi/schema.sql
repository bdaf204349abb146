-- The tables of app/models.py, and something to read.
CREATE TABLE items (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    price_cents integer NOT NULL CHECK (price_cents >= 0)
);

INSERT INTO items (name, price_cents)
SELECT 'item ' || n, 100 + n * 7 FROM generate_series(1, 100) AS n;
