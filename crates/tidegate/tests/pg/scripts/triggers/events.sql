-- An event trigger sees commands.

CREATE FUNCTION see() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'seen %', tg_tag; END $$

CREATE EVENT TRIGGER see ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION see()

CREATE TABLE t (x int)

CREATE TABLE u AS SELECT 1 AS x

DROP EVENT TRIGGER see

CREATE TABLE w (x int)
