-- Rows without columns, and columns without rows.

SELECT

SELECT FROM generate_series(1, 3)

SELECT 1 AS a, 'x' AS b WHERE false

CREATE TABLE nothing ()

INSERT INTO nothing DEFAULT VALUES

SELECT * FROM nothing
