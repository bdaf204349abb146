-- Statements in any case, with any white space.

sElEcT 1

	SELECT	2

SELECT
3

bEgIn

 cOmMiT ;

SHOW  timezone
