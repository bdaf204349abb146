-- Words that would mean something, if they were not in a string.

SELECT 'BEGIN; SET x = 1; LISTEN y; CREATE TEMP TABLE z ()'

SELECT $$SET TimeZone = 'Asia/Tokyo'$$

SHOW TimeZone

SELECT "set".listen FROM (SELECT 1 AS listen) AS "set"

CREATE TABLE "begin" ("commit" int, "discard all" text)

SELECT * FROM "begin"

SELECT 1 AS begin_, 2 AS "prepare"
