-- Booleans, and what null does to them.

SELECT true, false, null::bool, 'yes'::bool, 'off'::bool, 1::bool

SELECT null AND false, null OR true, null = null, null IS NOT DISTINCT FROM null

SELECT 'maybe'::bool
