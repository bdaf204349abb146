-- Sequences end, or begin anew.

CREATE SEQUENCE short MAXVALUE 2

CREATE SEQUENCE ring MAXVALUE 2 CYCLE

SELECT nextval('short'), nextval('short')

SELECT nextval('short')

SELECT nextval('ring'), nextval('ring'), nextval('ring')

CREATE SEQUENCE bad MINVALUE 5 MAXVALUE 1

SELECT nextval('nothing')
