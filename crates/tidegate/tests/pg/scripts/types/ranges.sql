-- Ranges and their bounds.

SELECT '[1,5]'::int4range, '(1,5)'::int4range, 'empty'::int4range, '[,5)'::int8range, '[1.5,2.5)'::numrange

SELECT '[2024-01-01,2024-02-01)'::daterange, '[2024-01-01 10:00,)'::tsrange, int4range(1, 3) && int4range(2, 5)

SELECT upper('[1,5]'::int4range), lower_inc('(1,5)'::int4range), '[1,3)'::int4range + '[3,5)'::int4range

SELECT '[5,1]'::int4range
