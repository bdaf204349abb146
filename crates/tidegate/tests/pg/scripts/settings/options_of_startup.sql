-- Settings in the options of the login.
-- startup: options=-c work_mem=5MB -c app.tenant=seven
-- startup: application_name=opener

SHOW work_mem

SHOW app.tenant

SHOW application_name

SET work_mem = '6MB'

RESET ALL

SHOW work_mem

SHOW app.tenant

SHOW application_name
