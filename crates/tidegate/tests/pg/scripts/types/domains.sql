-- Domains check what is put into them.

CREATE DOMAIN positive AS int CHECK (value > 0) NOT NULL

SELECT 5::positive, 5::positive + 1

SELECT 0::positive

SELECT null::positive

ALTER DOMAIN positive ADD CONSTRAINT small CHECK (value < 10)

SELECT 50::positive
