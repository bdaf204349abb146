-- Bytes, in either of the ways in which they are written as text.

SELECT '\x00ff10'::bytea, ''::bytea, decode('AP8Q', 'base64'), 'a\\b\001'::bytea

SET bytea_output = 'escape'

SELECT '\x00ff10415c'::bytea

RESET bytea_output

SELECT '\x00ff10415c'::bytea, length('\x000000'::bytea), get_byte('\x0a0b'::bytea, 1)

SELECT '\x0'::bytea
