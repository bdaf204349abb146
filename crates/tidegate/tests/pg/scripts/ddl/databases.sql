-- What can't be done with databases from within one.

CREATE DATABASE app

DROP DATABASE app

DROP DATABASE nothing_here

ALTER DATABASE app RENAME TO other

SELECT current_database(), datname FROM pg_database WHERE datname = 'app'
