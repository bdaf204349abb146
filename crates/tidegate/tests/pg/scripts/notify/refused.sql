-- What can't be notified.

SELECT pg_notify('', 'x')

SELECT pg_notify(repeat('c', 64), 'x')

SELECT pg_notify('c', repeat('x', 8000))

SELECT pg_notify('c', repeat('x', 7999))

NOTIFY c, 5
