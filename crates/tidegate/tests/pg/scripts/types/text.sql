-- Text of all scripts, padded and cut by the type it is in.

SELECT 'Grüße'::text, '日本語'::varchar(2), 'ab'::char(5), 'é'::text = E'e\u0301', length('😀')

SELECT ''::text, ' '::text, E'tab\tnewline\nbackslash\\', $q$dollar 'quoted'$q$, U&'\00e4'

CREATE TABLE short (name varchar(3), code char(2))

INSERT INTO short VALUES ('abcd', 'x')

INSERT INTO short VALUES ('abc', 'x') RETURNING *, octet_length(code)
