-- A session hears what it says to a channel that it listens to.

LISTEN news

NOTIFY news, 'one'

NOTIFY news

NOTIFY other, 'unheard'

UNLISTEN news

NOTIFY news, 'two'
