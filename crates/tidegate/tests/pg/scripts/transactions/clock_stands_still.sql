-- The time of a transaction is one and the same in all its statements.

CREATE TABLE t (at timestamptz)

BEGIN

INSERT INTO t VALUES (now())

SELECT at = now(), at = transaction_timestamp(), at = current_timestamp FROM t

SELECT statement_timestamp() >= now(), clock_timestamp() >= statement_timestamp()

COMMIT

SELECT at < now() FROM t
