-- One error of each of many classes.

SELECT 1/0

SELECT 'x'::int

SELECT 99999999999::int

SELECT substring('x' FROM 1 FOR -1)

SELECT sqrt(-1)

SELECT nothing

SELECT * FROM nothing

SELECT nothing()

SELECT count(1, 2)

SELECT 1 + 'x'::text

SELECT 'x' COLLATE "nowhere"

SELECT array_fill(1, ARRAY[-1])

SELECT repeat('x', 2000000000)
