-- Where nulls and other cases come in an order.

SELECT v FROM (VALUES (2), (null), (1)) AS t(v) ORDER BY v

SELECT v FROM (VALUES (2), (null), (1)) AS t(v) ORDER BY v DESC NULLS LAST

SELECT v FROM (VALUES ('b'), ('B'), ('a'), ('é'), ('Z')) AS t(v) ORDER BY v

SELECT v FROM (VALUES ('NaN'::float8), ('Infinity'), (0)) AS t(v) ORDER BY v
