-- A value of a million bytes.

SELECT repeat('0123456789', 100000) AS long

SELECT length(repeat('é', 500000)), repeat('é', 100000)
