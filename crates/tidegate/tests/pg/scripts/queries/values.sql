-- Columns without a table have neither its OID nor a number in it.

SELECT 1 AS one, 'x'::text AS two, NULL AS three
