-- MERGE tells what it did to each row.
-- from version: 17

CREATE TABLE stock (item text PRIMARY KEY, n int)

INSERT INTO stock VALUES ('apple', 5)

MERGE INTO stock s USING (VALUES ('apple', 2)) AS d(item, n) ON s.item = d.item WHEN MATCHED THEN UPDATE SET n = s.n + d.n RETURNING merge_action(), s.item, s.n
