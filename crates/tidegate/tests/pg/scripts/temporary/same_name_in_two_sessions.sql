-- Two sessions have temporary tables of the same name.

CREATE TEMPORARY TABLE cart (item text)

-- session: b
CREATE TEMPORARY TABLE cart (item text, n int)

INSERT INTO cart VALUES ('of a')

-- session: b
INSERT INTO cart VALUES ('of b', 2)

SELECT * FROM cart

-- session: b
SELECT * FROM cart
