-- COPY TO STDOUT, in binary.

COPY (SELECT 1, 'x'::text, null::int, 1.5::float8) TO STDOUT (FORMAT binary)

COPY (SELECT 1 WHERE false) TO STDOUT (FORMAT binary)
