-- Parameters where there can't be any.

SELECT $1

SELECT $1::int + 1

SELECT '$1', $$ $1 $$
