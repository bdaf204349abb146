-- Numerics keep every digit and their scale.

SELECT 123456789012345678901234567890.123456789::numeric, 1.50::numeric(10, 2), 0.0::numeric

SELECT 'NaN'::numeric, -0.000001::numeric, 1::numeric / 3, 10000::numeric, 1e20::numeric

SELECT 12345.678::numeric(6, 2)

SELECT 2::numeric ^ 200, round(2.5::numeric), round(-2.5::numeric), trunc(1.999, 2)

SELECT 1::numeric / 0
