-- A time limit that the client has logged in with.
-- startup: statement_timeout=400

SHOW statement_timeout

SELECT pg_sleep(10)

SET statement_timeout = 0

RESET statement_timeout

SHOW statement_timeout
