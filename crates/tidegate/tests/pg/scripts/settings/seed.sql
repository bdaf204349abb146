-- A seed makes the session's random numbers the same each time.

BEGIN

SELECT setseed(0.5)

SELECT random() < 1 AS drawn

SELECT setseed(0.25), random() = random() AS equal

SET seed = 0.5

COMMIT

SHOW seed
