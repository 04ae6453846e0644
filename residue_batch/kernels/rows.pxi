# Checks that planes and masks share.

cdef int _rows(bint contiguous) except -1:
    if not contiguous:
        raise ValueError("rows must be contiguous")
    return 0


cdef ptrdiff_t _extreme(const int32_t[::1] values, int sign) noexcept nogil:
    """The largest of some values, or with -1 the smallest; numpy takes ten times as long for a tile's."""
    cdef ptrdiff_t i, found = values[0]
    for i in range(1, values.shape[0]):
        if sign * values[i] > sign * found:
            found = values[i]
    return found
