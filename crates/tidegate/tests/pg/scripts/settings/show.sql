-- SHOW and its results.

SHOW server_encoding

SHOW TRANSACTION ISOLATION LEVEL

SHOW SESSION AUTHORIZATION

SHOW TIME ZONE

SHOW max_prepared_transactions

SHOW transaction_isolation
