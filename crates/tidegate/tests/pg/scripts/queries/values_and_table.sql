-- VALUES and TABLE as statements.

VALUES (1, 'one'), (2, 'two'), (3, null)

CREATE TABLE t AS VALUES (1), (2)

TABLE t ORDER BY 1

VALUES (1), (2, 3)
