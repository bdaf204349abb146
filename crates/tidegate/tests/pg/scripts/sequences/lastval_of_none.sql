-- Before the first nextval there is no lastval.

CREATE SEQUENCE s

SELECT lastval()

SELECT currval('s')

SELECT nextval('s'), lastval()

DROP SEQUENCE s

SELECT lastval()
