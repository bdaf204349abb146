-- Two sessions that talk to each other.

LISTEN ping

-- session: b
LISTEN pong

-- session: b
NOTIFY ping, '1'

-- await notification

NOTIFY pong, '2'

-- session: b
-- await notification

-- session: b
UNLISTEN *

NOTIFY pong, '3'

-- session: b
SELECT 'silence'
