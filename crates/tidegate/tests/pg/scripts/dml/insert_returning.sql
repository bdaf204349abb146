-- What was inserted comes back, with defaults filled in.

CREATE TABLE t (id int PRIMARY KEY, name text DEFAULT 'none', made int DEFAULT 7)

INSERT INTO t (id) VALUES (1) RETURNING *

INSERT INTO t VALUES (2, 'two', DEFAULT), (3, null, 0) RETURNING id, name IS NULL AS unnamed, made * 2

INSERT INTO t SELECT g FROM generate_series(4, 6) g

INSERT INTO t SELECT g FROM generate_series(1, 0) g RETURNING id

INSERT INTO t DEFAULT VALUES
