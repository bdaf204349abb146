-- Large objects as single values.

SELECT lo_from_bytea(4712, '\x00010203')

SELECT lo_get(4712), lo_get(4712, 1, 2)

SELECT lo_put(4712, 2, '\xffffff')

SELECT lo_get(4712)

SELECT lo_unlink(4712)

SELECT lo_get(4712)

SELECT lo_unlink(4712)
