-- Addresses of networks.

SELECT '192.168.0.1/24'::inet, '192.168.0.0/24'::cidr, '::1'::inet, '08:00:2b:01:02:03'::macaddr, '08:00:2b:01:02:03:04:05'::macaddr8

SELECT '192.168.1.5'::inet << '192.168.0.0/16'::inet, host('10.0.0.1/8'::inet), broadcast('10.1.2.3/8'::inet)

SELECT '192.168.0.1/24'::cidr
