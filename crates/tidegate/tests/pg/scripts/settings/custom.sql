-- Settings of the application itself.

SET app.tenant = 'forty-two'

SHOW app.tenant

SET app.tenant = 42

SELECT current_setting('app.tenant')::int + 1

SET LOCAL app.tenant = 'nobody'

SELECT current_setting('app.tenant')

RESET app.tenant

SELECT current_setting('app.tenant')

SET app."Tenant" = 'quoted'

SHOW app.tenant

SELECT current_setting('app.never_set')
