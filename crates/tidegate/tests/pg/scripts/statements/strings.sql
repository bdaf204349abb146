-- Strings with backslashes, under either setting.

SELECT 'a\b', E'a\\b', '', 'it''s'

SET standard_conforming_strings = off

SELECT 'a\\b', 'it\'s'

RESET standard_conforming_strings

SELECT 'a\\b'

SELECT 'one'
' and two'
