-- Rows of one tenant, by a setting of the session.

CREATE ROLE web

CREATE TABLE doc AS SELECT g AS tenant, 'doc ' || g AS title FROM generate_series(1, 3) g

ALTER TABLE doc ENABLE ROW LEVEL SECURITY

CREATE POLICY own ON doc USING (tenant::text = current_setting('app.tenant'))

GRANT SELECT ON doc TO web

SET app.tenant = '1'

SET ROLE web

-- session: b
SET app.tenant = '2'

-- session: b
SET ROLE web

SELECT * FROM doc

-- session: b
SELECT * FROM doc

SELECT set_config('app.tenant', '3', false)

SELECT * FROM doc

-- session: b
SELECT * FROM doc
