-- The smallest and largest integers of each width, and their arithmetic.

SELECT (-32768)::int2, 32767::int2, (-2147483648)::int4, 2147483647::int4,
       (-9223372036854775808)::int8, 9223372036854775807::int8

SELECT 7 / 2 AS quotient, -7 / 2 AS truncated, -7 % 2 AS rest, 1::int2 + 1::int8 AS widened

SELECT 2147483647::int4 + 1

SELECT '32768'::int2

SELECT 'twelve'::int4
