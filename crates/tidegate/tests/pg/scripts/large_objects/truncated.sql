-- Large objects become shorter, and refuse to be written when opened to be read.

SELECT lo_from_bytea(4715, 'abcdef')

BEGIN

SELECT lo_open(4715, x'20000'::int)

SELECT lo_truncate(0, 3)

COMMIT

SELECT lo_get(4715)

BEGIN

SELECT lo_open(4715, x'40000'::int)

SELECT lowrite(0, 'x')

ROLLBACK
