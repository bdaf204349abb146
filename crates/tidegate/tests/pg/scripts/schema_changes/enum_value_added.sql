-- A new value of an enum is usable at once in other transactions.

CREATE TYPE e AS ENUM ('a')

CREATE TABLE t (v e)

PREPARE p(text) AS INSERT INTO t VALUES ($1::e) RETURNING v::text

EXECUTE p('a')

EXECUTE p('b')

-- session: b
ALTER TYPE e ADD VALUE 'b'

EXECUTE p('b')

BEGIN

ALTER TYPE e ADD VALUE 'c'

EXECUTE p('c')

ROLLBACK
