-- Policies for single commands, and what they check.

CREATE ROLE web

CREATE TABLE t (id int, public bool)

INSERT INTO t VALUES (1, true), (2, false)

ALTER TABLE t ENABLE ROW LEVEL SECURITY

CREATE POLICY see ON t FOR SELECT TO web USING (public)

CREATE POLICY add ON t FOR INSERT TO web WITH CHECK (id > 10)

GRANT ALL ON t TO web

SET ROLE web

SELECT id FROM t

INSERT INTO t VALUES (5, true)

INSERT INTO t VALUES (11, false)

INSERT INTO t VALUES (12, false) RETURNING id

UPDATE t SET id = 100

SET row_security = off

SELECT id FROM t
