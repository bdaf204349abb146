-- Semicolons that end nothing.

SELECT 'a;b', ";" FROM (SELECT 1 AS ";") x

SELECT $$a;b$$, $tag$;$$;$tag$, E'\';'

SELECT 1 /* ; */ + 1 --;

DO $$ BEGIN PERFORM 1; PERFORM 2; END; $$
