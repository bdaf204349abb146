-- Enums: order, new values, values that there are not.
-- only: text

CREATE TYPE mood AS ENUM ('sad', 'ok')

SELECT 'ok'::mood > 'sad'::mood, enum_range(null::mood), 'ok'::mood

ALTER TYPE mood ADD VALUE 'happy' AFTER 'ok'

SELECT 'happy'::mood, enum_last(null::mood)

ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'

SELECT unnest(enum_range(null::mood)) AS value

SELECT 'ok'::mood
