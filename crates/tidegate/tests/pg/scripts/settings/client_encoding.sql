-- Text in another encoding, both ways.

SELECT 'grün'

SET client_encoding = 'LATIN1'

SELECT U&'gr\00fcn', U&'\00e9'

SELECT U&'\65e5'

SET NAMES 'UTF8'

SELECT U&'\65e5'

SHOW client_encoding

SET client_encoding = 'KLINGON'
