-- A function gives a cursor to its caller.

CREATE FUNCTION open_it(c refcursor) RETURNS refcursor LANGUAGE plpgsql AS $$ BEGIN OPEN c FOR SELECT g FROM generate_series(1, 3) g; RETURN c; END $$

BEGIN

SELECT open_it('mine')

FETCH ALL FROM mine

COMMIT

SELECT open_it('gone')

FETCH ALL FROM gone
