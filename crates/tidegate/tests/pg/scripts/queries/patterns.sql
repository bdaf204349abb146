-- Patterns: LIKE, SIMILAR TO, regular expressions.

SELECT 'abc' LIKE 'a%', 'a%c' LIKE 'a\%c', 'ABC' ILIKE 'b_%', 'abc' SIMILAR TO '(a|x)%', 'abc' ~ '^[a-c]+$', 'ABC' ~* 'b'

SELECT regexp_replace('2024-01-02', '(\d+)-(\d+)', '\2/\1'), substring('foobar' FROM 'o(.)b'), regexp_split_to_array('a, b', ',\s*')

SELECT 'x' ~ '('
