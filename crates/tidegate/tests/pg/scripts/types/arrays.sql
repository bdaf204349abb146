-- Arrays: bounds, dimensions, nulls, quotes.

SELECT ARRAY[1, 2, null], '{{1,2},{3,4}}'::int[], '[0:1]={5,6}'::int[], ARRAY[]::text[], '{"a b","c\"d",NULL,"null"}'::text[]

SELECT (ARRAY['x', 'y', 'z'])[2:3], array_length('{{1,2},{3,4}}'::int[], 2), ARRAY[1, 2] || 3, 2 = ANY (ARRAY[1, 2])

SELECT unnest(ARRAY['p', 'q']) AS letter, unnest(ARRAY[1, 2]) AS number

SELECT '{1,{2}}'::int[]
