-- SET SESSION AUTHORIZATION changes who one is, and reports it.

CREATE ROLE somebody

SET SESSION AUTHORIZATION somebody

SELECT session_user, current_user

CREATE ROLE another

SET SESSION AUTHORIZATION DEFAULT

SELECT session_user

BEGIN

SET LOCAL SESSION AUTHORIZATION somebody

SELECT session_user

ROLLBACK

SELECT session_user
