# Boxes of the frame as the loops take them.

include "checks.pxi"

cdef box_t _box(box) except *:
    cdef box_t found
    found.top, found.left = box[0], box[1]
    found.rows, found.cols = max(box[2] - box[0], 0), max(box[3] - box[1], 0)
    return found
