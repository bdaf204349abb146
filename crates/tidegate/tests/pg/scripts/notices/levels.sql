-- RAISE at all levels.

DO $$ BEGIN RAISE DEBUG 'debug'; RAISE LOG 'log'; RAISE INFO 'info'; RAISE NOTICE 'notice'; RAISE WARNING 'warning'; END $$

SET client_min_messages = debug1

DO $$ BEGIN RAISE DEBUG 'debug'; RAISE LOG 'log'; END $$

SET client_min_messages = error

DO $$ BEGIN RAISE INFO 'info always comes'; RAISE WARNING 'unheard'; END $$

RESET client_min_messages

DO $$ BEGIN RAISE EXCEPTION 'exception'; END $$
