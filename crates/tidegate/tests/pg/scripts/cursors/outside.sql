-- A cursor without HOLD needs a transaction.

DECLARE c CURSOR FOR SELECT 1

SELECT 1

FETCH c

CLOSE c

CLOSE ALL
