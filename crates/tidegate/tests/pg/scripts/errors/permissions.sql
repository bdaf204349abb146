-- What may not be done.

CREATE ROLE guest

CREATE TABLE t (x int)

CREATE SCHEMA closed

SET ROLE guest

SELECT * FROM t

DROP TABLE t

CREATE TABLE closed.u ()

SELECT pg_read_file('/etc/passwd')

CREATE ROLE other

SET SESSION AUTHORIZATION app

SELECT current_user
