-- Rows of built-in types, also in binary, where they carry the types of their fields.

SELECT ROW(1, 'x'::text, null::int8), ROW(ROW(true), '{1,2}'::int[])

SELECT r FROM (VALUES (1, 'one'::text), (2, 'two')) AS r
