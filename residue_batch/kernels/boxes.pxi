# Boxes of the frame, and kernels of a blur, as the loops take them.

include "checks.pxi"

cdef box_t _box(box) except *:
    cdef box_t found
    found.top, found.left = box[0], box[1]
    found.rows, found.cols = max(box[2] - box[0], 0), max(box[3] - box[1], 0)
    return found


cdef extern from "loops.h" nogil:
    int BLUR_MOST

cdef int _radius(const float[::1] weights) except -1:
    if not 1 <= weights.shape[0] <= BLUR_MOST + 1:
        raise ValueError(f"a kernel of {weights.shape[0]} weights from its centre on; 1 to {BLUR_MOST + 1} can be used")
    return weights.shape[0] - 1
