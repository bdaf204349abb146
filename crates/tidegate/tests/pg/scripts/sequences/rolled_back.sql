-- Sequences do not go back.

CREATE SEQUENCE s

BEGIN

SELECT nextval('s')

ROLLBACK

SELECT nextval('s')

BEGIN

ALTER SEQUENCE s RESTART 100

SELECT nextval('s')

ROLLBACK

SELECT nextval('s')
