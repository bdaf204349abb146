-- DISCARD ALL goes back to what the client has logged in with.
-- startup: TimeZone=Asia/Tokyo
-- startup: application_name=mine

SET TimeZone = 'UTC'

SET application_name = 'other'

DISCARD ALL

SHOW TimeZone

SHOW application_name
