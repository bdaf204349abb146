-- Names of settings that are not settings.

SET nothing_like_this = 1

SHOW nothing_like_this

SELECT current_setting('nothing_like_this')

SELECT current_setting('nothing_like_this', true)

RESET nothing_like_this

SET "a b".c = 1

SET app.a.b = 'deep'

SHOW app.a.b
