-- Tables made of queries.

CREATE TABLE a AS SELECT 1 AS x, 'y' AS y

CREATE TABLE IF NOT EXISTS a AS SELECT 2

CREATE TABLE b (LIKE a INCLUDING ALL, z int)

SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'b' ORDER BY ordinal_position

SELECT * INTO c FROM a

CREATE TABLE d AS SELECT * FROM a WITH NO DATA

SELECT count(*) FROM d
