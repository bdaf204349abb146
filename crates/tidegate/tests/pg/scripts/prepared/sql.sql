-- PREPARE and EXECUTE of SQL.

PREPARE plus(int, int) AS SELECT $1 + $2 AS sum

EXECUTE plus(1, 2)

EXECUTE plus('3', 4)

SELECT name, statement, parameter_types, from_sql FROM pg_prepared_statements WHERE name = 'plus'

EXECUTE plus(1)

DEALLOCATE plus

EXECUTE plus(1, 2)
