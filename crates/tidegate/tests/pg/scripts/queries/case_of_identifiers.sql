-- Names are folded to lower case unless they are quoted.

CREATE TABLE MixedCase (Id int, "Id" int)

INSERT INTO mixedcase VALUES (1, 2)

SELECT ID, "Id" FROM MIXEDCASE

SELECT * FROM "MixedCase"
