-- Rows find their partition, or there is none.

CREATE TABLE m (day date, n int) PARTITION BY RANGE (day)

CREATE TABLE m_jan PARTITION OF m FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')

CREATE TABLE m_feb PARTITION OF m FOR VALUES FROM ('2024-02-01') TO ('2024-03-01')

INSERT INTO m VALUES ('2024-01-15', 1), ('2024-02-15', 2)

INSERT INTO m VALUES ('2024-03-15', 3)

UPDATE m SET day = '2024-02-20' WHERE n = 1 RETURNING tableoid::regclass::text AS part, day

ALTER TABLE m DETACH PARTITION m_feb

SELECT count(*) FROM m
