-- Errors about things with names that are not ASCII.

SELECT * FROM "Größe"

CREATE TABLE "日本" ("列" int CONSTRAINT "prüfung" CHECK ("列" > 0))

INSERT INTO "日本" VALUES (0)

SELECT '😀'::int

DO $$ BEGIN RAISE 'schön: %', 'ß'; END $$
