-- Comments in front of, inside, and behind statements.

/* in front */ SELECT 1

--in front
SELECT 2

SELECT /* /* nested */ inside */ 3 --behind

/* sqlcommenter='yes',route='%2Fhome' */ SELECT 4 /* traceparent='00-ab-cd-01' */

SELECT 5 /* unfinished

SELECT '-- no comment', '/* none */', $$ -- none $$
