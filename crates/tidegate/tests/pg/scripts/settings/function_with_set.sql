-- A function with a SET clause leaves nothing behind.

CREATE FUNCTION zone() RETURNS text LANGUAGE sql SET TimeZone = 'Asia/Tokyo' AS 'SELECT current_setting(''TimeZone'')'

SELECT zone(), current_setting('TimeZone')

CREATE FUNCTION path() RETURNS text LANGUAGE plpgsql SET search_path = pg_temp AS $$ BEGIN SET work_mem = '5MB'; RETURN current_setting('search_path'); END $$

SELECT path()

SHOW search_path

SHOW work_mem
