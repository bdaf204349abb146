-- Paths into jsonb.

SELECT jsonb_path_query_array('{"a": [1, 5, 9]}', '$.a[*] ? (@ > 3)'), '$.a[*] ? (@ > 3)'::jsonpath

SELECT jsonb_path_exists('{"a": 1}', '$.b'), '{"a": 1}'::jsonb @@ '$.a == 1'

SELECT jsonb_path_query('{"a": "x"}', 'strict $.b')
