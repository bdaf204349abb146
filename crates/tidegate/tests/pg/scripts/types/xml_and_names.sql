-- Types that the catalogues use.

SELECT 'pg_class'::regclass, 'int4'::regtype, 'now'::regproc, 'x'::name, '"char"'::regtype, 'a'::"char", '0/16B3748'::pg_lsn

SELECT to_regclass('nothing'), to_regtype('integer[]')

SELECT 'nothing'::regclass

SELECT 23::oid, '(1,2)'::tid, pg_typeof(1), pg_typeof('x'), pg_typeof(null)
