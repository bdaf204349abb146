-- COPY TO STDOUT between other statements of a Query.
-- only: simple

SELECT 1; COPY (SELECT 2) TO STDOUT; SELECT 3; COPY (SELECT 4) TO STDOUT
