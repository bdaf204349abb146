-- Several channels, and names that need quotes.

LISTEN a

LISTEN "B c"

LISTEN a

SELECT pg_listening_channels() ORDER BY 1

NOTIFY "B c", 'quoted'

SELECT pg_notify('a', 'ü')

UNLISTEN *

SELECT count(*) FROM pg_listening_channels()

NOTIFY a
