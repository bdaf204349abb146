-- Arrays of types that need quoting in text and have none in binary.

SELECT ARRAY['\x00'::bytea, '\x5c22'], ARRAY['2024-02-29'::date, 'infinity'], ARRAY[1.5::numeric, 'NaN'], ARRAY[true, null]

SELECT ARRAY['{"a": "b,c"}'::jsonb], ARRAY['(1,2)'::point], ARRAY['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid]
