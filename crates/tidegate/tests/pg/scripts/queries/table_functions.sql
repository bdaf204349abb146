-- Functions as tables.

SELECT * FROM generate_series('2024-01-01'::timestamp, '2024-01-03', '1 day') WITH ORDINALITY AS d(day, nth)

SELECT * FROM ROWS FROM (generate_series(1, 3), unnest(ARRAY['a', 'b'])) AS r(number, letter)

SELECT * FROM json_each_text('{"a": 1, "b": null}')

SELECT regexp_matches('a1b22', '[0-9]+', 'g'), 'x'

SELECT * FROM string_to_table('a,b,,c', ',', '') AS part
