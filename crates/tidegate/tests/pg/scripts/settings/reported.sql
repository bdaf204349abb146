-- Settings that clients follow are told to them when they change.

SET TimeZone = 'Asia/Tokyo'

SET DateStyle = 'German'

SET application_name = 'reporter'

SET IntervalStyle = 'iso_8601'

SET standard_conforming_strings = off

SET client_encoding = 'LATIN1'

SET TimeZone = 'Asia/Tokyo'

SET work_mem = '5MB'

RESET standard_conforming_strings

RESET client_encoding
