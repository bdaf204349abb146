-- MERGE inserts, updates, and deletes in one statement.
-- from version: 15

CREATE TABLE stock (item text PRIMARY KEY, n int)

INSERT INTO stock VALUES ('apple', 5), ('pear', 1)

MERGE INTO stock s USING (VALUES ('apple', 2), ('pear', -1), ('fig', 3)) AS d(item, n) ON s.item = d.item
WHEN MATCHED AND s.n + d.n = 0 THEN DELETE
WHEN MATCHED THEN UPDATE SET n = s.n + d.n
WHEN NOT MATCHED THEN INSERT VALUES (d.item, d.n)

SELECT * FROM stock ORDER BY item

MERGE INTO stock s USING (VALUES ('apple')) AS d(item) ON s.item = d.item WHEN MATCHED THEN DO NOTHING

MERGE INTO stock s USING (VALUES ('apple'), ('apple')) AS d(item) ON s.item = d.item WHEN MATCHED THEN UPDATE SET n = 0
