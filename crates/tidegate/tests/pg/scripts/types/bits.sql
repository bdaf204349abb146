-- Strings of bits, whose length is part of their type.

SELECT B'1010'::bit(4), B'101'::varbit, B'1010' & B'0110', X'1F', 5::bit(8)

SELECT B'101'::bit(4), B'10101'::varbit(3)

CREATE TABLE flags (bits bit(3))

INSERT INTO flags VALUES (B'10')
