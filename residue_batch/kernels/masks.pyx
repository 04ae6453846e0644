# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""numpy arrays in, numpy arrays out, around ``masks.c``: checks of shapes, memory for the results, no arithmetic."""

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uintptr_t
from libc.string cimport memset

import numpy as np

ctypedef fused value:
    float
    uint8_t

ctypedef fused few_bits:
    uint8_t
    uint16_t
    uint32_t

cdef extern from "planes.h" nogil:
    void has_bit_u8(const uint8_t *, ptrdiff_t, uint32_t, uint8_t *)
    void has_bit_u16(const uint16_t *, ptrdiff_t, uint32_t, uint8_t *)
    void has_bit_u32(const uint32_t *, ptrdiff_t, uint32_t, uint8_t *)
    void keep_row(const uint8_t *, ptrdiff_t, uint8_t, uint8_t *)
    float SHARE(uint8_t)
    void c_above "above"(const float *, ptrdiff_t, float, uint8_t *)
    void from_code(const uint8_t *, ptrdiff_t, int32_t, uint8_t *)
    void c_keep "keep_above"(const float *, ptrdiff_t, ptrdiff_t, ptrdiff_t, float, uint8_t *)
    int c_grow "grow_mask"(const uint8_t *, ptrdiff_t, ptrdiff_t, ptrdiff_t, const int32_t *, int, uint8_t, uint8_t *)
    int c_open "open_areas"(const uint8_t *, ptrdiff_t, ptrdiff_t, ptrdiff_t, int32_t, int, uint8_t *)


include "checks.pxi"
include "rows.pxi"


def has_bit(const few_bits[:, :] bits, uint32_t bit):
    """(h, w): where a bit is set."""
    cdef ptrdiff_t row
    _rows(bits.strides[1] == sizeof(few_bits))
    found = np.empty((bits.shape[0], bits.shape[1]), np.bool_)
    cdef uint8_t[:, ::1] out = found.view(np.uint8)
    if found.size:
        with nogil:
            for row in range(bits.shape[0]):
                if few_bits is uint8_t:
                    has_bit_u8(&bits[row, 0], bits.shape[1], bit, &out[row, 0])
                elif few_bits is uint16_t:
                    has_bit_u16(&bits[row, 0], bits.shape[1], bit, &out[row, 0])
                else:
                    has_bit_u32(&bits[row, 0], bits.shape[1], bit, &out[row, 0])
    return found


def in_all(masks, others=()):
    """(h, w): what is in every one of the masks (h, w) and in none of the others."""
    found = np.empty(masks[0].shape, np.bool_)
    cdef const uint8_t[:, :] mask
    cdef uint8_t[:, ::1] out = found.view(np.uint8)
    cdef ptrdiff_t row, k, few = len(masks), number = few + len(others)
    cdef uintptr_t[::1] starts = np.empty(number, np.uintp)
    cdef ptrdiff_t[::1] steps = np.empty(number, np.intp)
    for k, one in enumerate((*masks, *others)):
        mask = one.view(np.uint8)
        _rows(mask.strides[1] == 1)
        _same(mask.shape[0], out.shape[0])
        _same(mask.shape[1], out.shape[1])
        if found.size:
            starts[k], steps[k] = <uintptr_t>&mask[0, 0], mask.strides[0]
    if found.size:
        with nogil:
            for row in range(out.shape[0]):
                memset(&out[row, 0], 1, out.shape[1])
                for k in range(number):
                    keep_row(<const uint8_t *>starts[k] + row * steps[k], out.shape[1], k >= few, &out[row, 0])
    return found


def above(const value[:, :] plane, float level):
    """(h, w): where a plane lies strictly above a level; codes stand for shares of full scale."""
    cdef ptrdiff_t row
    cdef int32_t first = 0
    _rows(plane.strides[1] == sizeof(value))
    found = np.empty((plane.shape[0], plane.shape[1]), np.bool_)
    cdef uint8_t[:, ::1] out = found.view(np.uint8)
    if found.size:
        with nogil:
            if value is uint8_t:
                while first < 256 and not SHARE(first) > level:
                    first += 1
            for row in range(plane.shape[0]):
                if value is float:
                    c_above(&plane[row, 0], plane.shape[1], level, &out[row, 0])
                else:
                    from_code(&plane[row, 0], plane.shape[1], first, &out[row, 0])
    return found


def keep_above(const float[:, :, :] planes, float level, uint8_t[:, :] mask):
    """Take from a mask (h, w) where a channel of planes (c, h, w) is not above a level."""
    cdef ptrdiff_t row
    _rows(planes.strides[2] == sizeof(float) and mask.strides[1] == 1)
    _same(planes.shape[1], mask.shape[0])
    _same(planes.shape[2], mask.shape[1])
    if planes.size:
        with nogil:
            for row in range(mask.shape[0]):
                c_keep(&planes[0, row, 0], planes.strides[0] // sizeof(float), planes.shape[0], mask.shape[1], level,
                       &mask[row, 0])


def grow_mask(const uint8_t[:, :] mask, const int32_t[::1] half, bint invert):
    """(h, w): the mask grown by a shape of ``half[k]`` columns to either side, k rows above and below.

    With ``invert`` it is what is not in the mask that grows.
    """
    _rows(mask.strides[1] == 1)
    if not half.shape[0] or _extreme(half, -1) < 0 or _extreme(half, 1) >= half.shape[0]:
        raise ValueError("a shape is no wider than high")
    found = np.empty((mask.shape[0], mask.shape[1]), np.bool_)
    cdef uint8_t[:, ::1] out = found.view(np.uint8)
    cdef int done
    if not found.size:
        return found
    with nogil:
        done = c_grow(&mask[0, 0], mask.strides[0], mask.shape[0], mask.shape[1], &half[0], half.shape[0] - 1, invert,
                      &out[0, 0])
    if not done:
        raise MemoryError("no memory for a row of a mask")
    return found


def open_areas(const uint8_t[:, :] mask, int32_t smallest, bint corners):
    """(h, w): the mask without objects of fewer pixels; with ``corners`` those that touch at a corner are one."""
    _rows(mask.strides[1] == 1)
    found = np.empty((mask.shape[0], mask.shape[1]), np.bool_)
    cdef uint8_t[:, ::1] out = found.view(np.uint8)
    cdef int done
    if not found.size:
        return found
    with nogil:
        done = c_open(&mask[0, 0], mask.strides[0], mask.shape[0], mask.shape[1], smallest, corners, &out[0, 0])
    if not done:
        raise MemoryError("no memory for the runs of a mask")
    return found
