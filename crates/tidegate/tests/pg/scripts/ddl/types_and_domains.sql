-- Types that are made, changed, and dropped.

CREATE TYPE pair AS (a int, b text)

ALTER TYPE pair ADD ATTRIBUTE c bool

CREATE TABLE t (p pair)

INSERT INTO t VALUES (ROW(1, 'x', true)) RETURNING (p).c

ALTER TYPE pair DROP ATTRIBUTE b

ALTER TYPE pair DROP ATTRIBUTE b CASCADE

DROP TYPE pair

CREATE TYPE e AS ENUM ()

SELECT 'x'::e
