-- What type a literal gets when nothing says so.

SELECT 'a', null, '1' || '2', 1 + '2', '2024-01-01' < current_date

SELECT 'a' UNION SELECT 'b' ORDER BY 1

SELECT 1 UNION SELECT 'b'

SELECT coalesce(null, 'x'), greatest(1, 2.5), CASE WHEN false THEN 1 ELSE 2.0 END, nullif('a', 'a')
