-- Setting what is set already tells nothing and changes nothing.

SET TimeZone = 'UTC'

SET TimeZone = 'UTC'

RESET TimeZone

SET TimeZone TO DEFAULT

SET application_name = ''

SHOW TimeZone
