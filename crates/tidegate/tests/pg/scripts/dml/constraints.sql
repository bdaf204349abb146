-- Each kind of constraint says what was violated.

CREATE TABLE p (id int PRIMARY KEY)

CREATE TABLE t (id int CONSTRAINT t_key PRIMARY KEY, p int CONSTRAINT t_to_p REFERENCES p, n int CONSTRAINT n_small CHECK (n < 10), name text NOT NULL, period int4range, CONSTRAINT no_overlap EXCLUDE USING gist (period WITH &&))

INSERT INTO p VALUES (1)

INSERT INTO t VALUES (1, 1, 1, 'one', '[1,5)')

INSERT INTO t VALUES (1, 1, 1, 'again', '[7,8)')

INSERT INTO t VALUES (2, 99, 1, 'orphan', '[7,8)')

INSERT INTO t VALUES (3, 1, 10, 'big', '[7,8)')

INSERT INTO t VALUES (4, 1, 1, null, '[7,8)')

INSERT INTO t VALUES (5, 1, 1, 'overlaps', '[4,6)')

DELETE FROM p
