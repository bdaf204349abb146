-- Sequences count; currval and lastval are the session's own.

CREATE SEQUENCE s START 5 INCREMENT 5

SELECT nextval('s')

SELECT currval('s'), lastval()

-- session: b
SELECT currval('s')

-- session: b
SELECT nextval('s')

SELECT currval('s'), lastval()
