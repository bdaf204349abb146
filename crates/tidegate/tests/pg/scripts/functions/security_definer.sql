-- A function that runs with the rights of its owner.

CREATE ROLE guest

CREATE TABLE secret AS SELECT 42 AS answer

CREATE FUNCTION answer() RETURNS int SECURITY DEFINER LANGUAGE sql AS 'SELECT answer FROM secret'

CREATE FUNCTION who() RETURNS text SECURITY DEFINER LANGUAGE sql AS 'SELECT current_user::text'

SET ROLE guest

SELECT answer(), who(), current_user

SELECT answer FROM secret
