# Checks that all bindings share.

cdef int _same(ptrdiff_t left, ptrdiff_t right) except -1:
    if left != right:
        raise ValueError(f"shapes differ: {left} and {right}")
    return 0
