-- A BEGIN with a mistake begins nothing.

BEGIN ISOLATION LEVEL SNAPSHOT

SELECT 1

BEGIN READ MOSTLY

SHOW transaction_isolation

BEGIN 5
