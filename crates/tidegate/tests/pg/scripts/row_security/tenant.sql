-- Rows of one tenant, by a setting of the transaction.

CREATE ROLE web

CREATE TABLE doc (tenant int, title text)

INSERT INTO doc VALUES (1, 'of one'), (2, 'of two')

ALTER TABLE doc ENABLE ROW LEVEL SECURITY

CREATE POLICY own ON doc USING (tenant = current_setting('app.tenant')::int)

GRANT ALL ON doc TO web

BEGIN

SET LOCAL ROLE web

SET LOCAL app.tenant = 1

SELECT title FROM doc

SET LOCAL app.tenant = 2

SELECT title FROM doc

INSERT INTO doc VALUES (1, 'foreign')

ROLLBACK
