-- A SET inside a DO block lasts, as if it stood outside.

DO $$ BEGIN SET work_mem = '5MB'; END $$

SHOW work_mem

DO $$ BEGIN SET LOCAL work_mem = '6MB'; END $$

SHOW work_mem

DO $$ BEGIN EXECUTE 'SET app.made = ''dynamically'''; END $$

SHOW app.made

DO $$ BEGIN SET work_mem = '9MB'; RAISE 'undone'; END $$

SHOW work_mem
