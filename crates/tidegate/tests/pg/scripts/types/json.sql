-- json keeps its text, jsonb its meaning.

SELECT '{"b": 1,  "a": [1, 2.50, null], "b": 2}'::json, '{"b": 1,  "a": [1, 2.50, null], "b": 2}'::jsonb

SELECT '{"a": {"b": ["x", "y"]}}'::jsonb #>> '{a,b,1}', '[1, 2]'::jsonb @> '[2]', '{"a": 1}'::jsonb ? 'a'

SELECT jsonb_set('{"a": 1}', '{b}', '"é"'), to_jsonb(ARRAY[1, 2]), '"\u00e9"'::jsonb

SELECT * FROM jsonb_to_recordset('[{"a": 1, "b": "x"}, {"a": 2}]') AS r(a int, b text)

SELECT '{"a": }'::json
