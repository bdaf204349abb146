-- A setting that a function changes stays changed for the session.

CREATE FUNCTION become(who text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('app.who', who, false); END $$

SELECT become('ann')

SELECT current_setting('app.who')

BEGIN

SELECT become('bob')

ROLLBACK

SELECT current_setting('app.who')
