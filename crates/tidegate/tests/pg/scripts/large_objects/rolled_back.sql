-- Large objects are transactional; their descriptors end with the transaction.

BEGIN

SELECT lo_create(4713)

ROLLBACK

SELECT lo_get(4713)

SELECT lo_from_bytea(4714, 'x')

BEGIN

SELECT lo_open(4714, x'40000'::int)

COMMIT

SELECT loread(0, 1)
