-- Several ranges as one value.

SELECT '{[1,3), [5,8)}'::int4multirange, '{}'::nummultirange, '{[1,3), [2,8)}'::int4multirange

SELECT '{[1,3), [5,8)}'::int4multirange @> 6, range_agg(r) FROM (VALUES ('[1,2)'::int4range), ('[2,4)')) AS v(r)
