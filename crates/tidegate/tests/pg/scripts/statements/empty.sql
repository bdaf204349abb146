-- Queries in which there is nothing.

;

/* only a comment */

--another
--two of them

SELECT 1;

SELECT 2 -- with a comment behind
