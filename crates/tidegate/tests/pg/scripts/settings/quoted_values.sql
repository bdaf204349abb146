-- Values with quotes, commas, and lists.

SET search_path = "$user", public, "odd, name"

SHOW search_path

SET app.text = 'it''s "quoted", with a ; and a \'

SHOW app.text

SET app.empty = ''

SELECT current_setting('app.empty') = '' AS is_empty

SET app.long TO 'a', 'b'

SHOW app.long

SET TimeZone = '<-03>+3'

SHOW TimeZone
