-- Large values that are stored and read again.

CREATE TABLE t (id int, doc text, raw bytea)

INSERT INTO t SELECT g, repeat(md5(g::text), 5000), decode(repeat('00ff', 50000), 'hex') FROM generate_series(1, 3) g

SELECT id, length(doc), md5(doc), length(raw) FROM t ORDER BY id

SELECT doc FROM t WHERE id = 2

UPDATE t SET doc = doc || doc WHERE id = 3 RETURNING length(doc)
