-- Joins of all kinds, with the nulls that they make.

CREATE TABLE author (id int PRIMARY KEY, name text)

CREATE TABLE book (id int PRIMARY KEY, author_id int REFERENCES author, title text)

INSERT INTO author VALUES (1, 'Ann'), (2, 'Bob'), (3, 'Cy')

INSERT INTO book VALUES (1, 1, 'A'), (2, 1, 'B'), (3, null, 'C')

SELECT a.name, b.title FROM author a LEFT JOIN book b ON b.author_id = a.id ORDER BY 1, 2

SELECT a.name, b.title FROM author a FULL JOIN book b ON b.author_id = a.id ORDER BY 1 NULLS FIRST, 2

SELECT count(*) FROM author CROSS JOIN book

SELECT a.name, l.title FROM author a, LATERAL (SELECT title FROM book WHERE author_id = a.id ORDER BY id DESC LIMIT 1) l
