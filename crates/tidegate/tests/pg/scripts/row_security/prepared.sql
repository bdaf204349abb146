-- A prepared statement sees the rows of whoever runs it.

CREATE ROLE web

CREATE TABLE t AS SELECT g AS owner FROM generate_series(1, 2) g

ALTER TABLE t ENABLE ROW LEVEL SECURITY

CREATE POLICY own ON t USING (owner = current_setting('app.me')::int)

GRANT SELECT ON t TO web

PREPARE mine AS SELECT owner FROM t

SET app.me = 1

EXECUTE mine

SET ROLE web

EXECUTE mine

SET app.me = 2

EXECUTE mine

RESET ROLE

EXECUTE mine
