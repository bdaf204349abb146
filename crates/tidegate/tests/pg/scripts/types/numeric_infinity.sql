-- Numerics may be infinite.

SELECT 'Infinity'::numeric, '-Infinity'::numeric, 'Infinity'::numeric - 'Infinity'::numeric

SELECT 'inf'::numeric(5, 2)
