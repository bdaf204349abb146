-- Comments in front of statements that change the session or the transaction.

/* a */ BEGIN --b

/* c */ SET LOCAL /* d */ work_mem = '5MB'

SHOW work_mem

--e
COMMIT /* f */

SHOW work_mem

/* g */ SET TimeZone TO /* h */ 'Asia/Tokyo'

SHOW TimeZone

/* i /* j */ k */ RESET TimeZone

SHOW TimeZone
