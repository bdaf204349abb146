-- A search path for the rest of a transaction.

CREATE SCHEMA tenant

CREATE TABLE tenant.t AS SELECT 'tenant' AS name

CREATE TABLE t AS SELECT 'public' AS name

BEGIN

SET LOCAL search_path = tenant, public

SELECT name FROM t

COMMIT

SELECT name FROM t

BEGIN

SET search_path = tenant

SELECT name FROM t

ROLLBACK

SELECT name FROM t
