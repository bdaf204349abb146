-- A session that caches numbers keeps them to itself.

CREATE SEQUENCE s

SELECT nextval('s')

-- session: b
SELECT nextval('s')

SELECT last_value, is_called FROM s

DISCARD SEQUENCES

SELECT lastval()
