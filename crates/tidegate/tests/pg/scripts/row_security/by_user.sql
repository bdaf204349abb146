-- Rows of the user that one is.

CREATE ROLE ann

CREATE ROLE bob

CREATE TABLE mail (receiver name, text text)

INSERT INTO mail VALUES ('ann', 'to ann'), ('bob', 'to bob')

ALTER TABLE mail ENABLE ROW LEVEL SECURITY

CREATE POLICY own ON mail USING (receiver = current_user)

GRANT ALL ON mail TO ann, bob

SET ROLE ann

SELECT * FROM mail

UPDATE mail SET text = 'read'

SET ROLE bob

SELECT * FROM mail

DELETE FROM mail
