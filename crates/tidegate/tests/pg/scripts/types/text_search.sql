-- What full text search is made of.

SELECT to_tsvector('english', 'The quick brown foxes jumped'), to_tsquery('english', 'fox & jump'), 'a:1A b:2'::tsvector

SELECT to_tsvector('english', 'quick foxes') @@ plainto_tsquery('english', 'fox'), ts_headline('english', 'a quick fox', 'fox'::tsquery)

SELECT 'a & '::tsquery
