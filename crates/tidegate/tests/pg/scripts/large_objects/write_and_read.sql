-- A large object is made, written, and read.

BEGIN

SELECT lo_create(4711)

SELECT lo_open(4711, x'60000'::int) AS fd

SELECT lowrite(0, 'hello, wörld'::text::bytea)

SELECT lo_lseek(0, 7, 0), lo_tell(0)

SELECT loread(0, 3)

SELECT lo_close(0)

COMMIT

SELECT lo_get(4711)
