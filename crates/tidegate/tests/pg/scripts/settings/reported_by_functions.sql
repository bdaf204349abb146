-- What is told of settings that are changed inside functions.

SELECT set_config('TimeZone', 'Asia/Tokyo', false)

DO $$ BEGIN PERFORM set_config('DateStyle', 'German', false); END $$

SELECT '2024-02-01'::date

DO $$ BEGIN SET application_name = 'from inside'; END $$

SHOW application_name
