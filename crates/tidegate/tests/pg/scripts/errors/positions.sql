-- Errors say where, also behind text of more bytes than characters.

SELECT 1 FROM nowhere

SELECT 'ümlaut', '日本', nothing

SELECT 1,
  2 +
  * 3

SELECT 'unfinished

SELECT "unfinished
