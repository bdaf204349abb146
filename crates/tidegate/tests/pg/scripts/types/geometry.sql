-- Geometry has types of its own.

SELECT '(1,2)'::point, '[(0,0),(1,1)]'::lseg, '(3,3),(1,1)'::box, '<(0,0),5>'::circle, '((0,0),(1,1),(1,0))'::polygon

SELECT point(0, 0) <-> point(3, 4), box(point(0, 0), point(2, 2)) @> point(1, 1)

SELECT '(1)'::point
