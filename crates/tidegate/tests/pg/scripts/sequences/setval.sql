-- setval moves a sequence, with and without calling that value used.

CREATE SEQUENCE s

SELECT setval('s', 10)

SELECT nextval('s')

SELECT setval('s', 20, false)

SELECT nextval('s'), currval('s')

SELECT setval('s', 0)

ALTER SEQUENCE s RESTART

SELECT nextval('s')
