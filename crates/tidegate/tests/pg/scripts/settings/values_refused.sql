-- A SET that fails changes nothing.

SET work_mem = '5MB'

SET work_mem = '1kB'

SET work_mem = 'lots'

SET enable_seqscan = 'perhaps'

SET TimeZone = 'Nowhere'

SET DateStyle = 'ISO, XYZ'

SET default_transaction_isolation = 'snapshot'

SET shared_buffers = '1GB'

SET server_version = '9'

SHOW work_mem
