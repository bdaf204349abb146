-- Floats come back exactly, with their special values and as many digits as are asked for.

SELECT 0.1::float4, 0.1::float8, 1e300::float8, -0.0::float8, 1.0::float8 / 3

SELECT 'NaN'::float8, 'Infinity'::float4, '-Infinity'::float8, 'NaN'::float8 = 'NaN'::float8

SET extra_float_digits = 0

SELECT 1.0::float8 / 3, 0.1::float4::float8

SELECT 1e308::float8 * 10

SELECT 1.0::float8 / 0
