# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""numpy arrays in, numpy arrays out, around ``planes.c``: checks of shapes, memory for the results, no arithmetic."""

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport UINT32_MAX, int32_t, int64_t, uint8_t, uint16_t, uint32_t

import numpy as np

ctypedef fused code:
    uint8_t
    uint16_t

ctypedef fused value:
    float
    uint8_t

cdef extern from "planes.h" nogil:
    void least_u8(const uint8_t *, ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t, uint8_t *)
    void least_u16(const uint16_t *, ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t, uint16_t *)
    void shares_u8(const uint8_t *, ptrdiff_t, float *)
    void shares_u16(const uint16_t *, ptrdiff_t, float *)
    ctypedef struct plane_t:
        const float *values
        const uint8_t *codes
        ptrdiff_t step
    int c_smooth "smooth_inside"(plane_t, const uint8_t *, ptrdiff_t, ptrdiff_t, ptrdiff_t, const float *, int, float,
                                 float *)
    int CELL_ROWS
    float FULL, CODE_ONE
    ptrdiff_t c_rows "cell_rows"(plane_t, ptrdiff_t, const uint8_t *, ptrdiff_t, ptrdiff_t, ptrdiff_t, float, float,
                                 int32_t, const int32_t *, double *, double *, int32_t *, int32_t *)
    void c_line "cells_of_line"(const double *, const int32_t *, ptrdiff_t, const int32_t *, const int32_t *, int32_t,
                                int64_t *, int64_t *)
    int c_grid "smooth_grid"(const double *, ptrdiff_t, ptrdiff_t, const double *, int, double *)
    void c_lines "spline_line"(const float *, const int32_t *, const float *, ptrdiff_t, float *)
    void fetch(const void *, ptrdiff_t)
    ptrdiff_t c_difference "difference_row"(const float *, const float *, const uint8_t *, ptrdiff_t, float, float,
                                            int32_t *, int32_t *, int64_t *)
    void c_fours "sum_of_fours"(const int32_t *, const int32_t *, ptrdiff_t, float *, uint8_t *)
    void c_spline "spline"(const float *, const float *, ptrdiff_t, ptrdiff_t, const float *, const float *, ptrdiff_t,
                           float *)
    ptrdiff_t c_histogram "histogram"(const float *, const uint8_t *, ptrdiff_t, float, float, int32_t, uint32_t *)
    ptrdiff_t c_cover "cover_sums"(const uint8_t *, const float *, const uint8_t *, ptrdiff_t, float, float, int64_t *)
    ptrdiff_t c_quantise "quantise"(const float *, ptrdiff_t, float, float, uint8_t *, ptrdiff_t *)
    void c_apart "bits_apart"(const uint8_t *, ptrdiff_t, ptrdiff_t, uint8_t *)
    void halve_means(const uint8_t *, const uint8_t *, ptrdiff_t, uint8_t *)
    void halve_any(const uint8_t *, const uint8_t *, ptrdiff_t, uint8_t *)


include "checks.pxi"
include "rows.pxi"

cdef enum:
    AHEAD = 4  # rows of a photograph are asked for before they are read


def least(const code[:, :, :] planes):
    """(h, w): the smallest channel of code values (c, h, w), however they lie."""
    cdef ptrdiff_t row, size = sizeof(code)
    found = np.empty((planes.shape[1], planes.shape[2]), np.uint8 if code is uint8_t else np.uint16)
    cdef code[:, ::1] out = found
    if not planes.shape[0]:
        raise ValueError("there is no channel")
    if not found.size:
        return found
    with nogil:
        for row in range(planes.shape[1]):
            if row + AHEAD < planes.shape[1] and planes.strides[0] == size:
                fetch(&planes[0, row + AHEAD, 0], planes.strides[2] * planes.shape[2])
            if code is uint8_t:
                least_u8(&planes[0, row, 0], planes.strides[2] // size, planes.strides[0] // size, planes.shape[0],
                         planes.shape[2], &out[row, 0])
            else:
                least_u16(&planes[0, row, 0], planes.strides[2] // size, planes.strides[0] // size, planes.shape[0],
                          planes.shape[2], &out[row, 0])
    return found


def shares(const code[:, :] codes):
    """(h, w): code values divided by full scale."""
    cdef ptrdiff_t row
    _rows(codes.strides[1] == sizeof(code))
    found = np.empty((codes.shape[0], codes.shape[1]), np.float32)
    cdef float[:, ::1] out = found
    if codes.shape[1]:
        with nogil:
            for row in range(codes.shape[0]):
                if code is uint8_t:
                    shares_u8(&codes[row, 0], codes.shape[1], &out[row, 0])
                else:
                    shares_u16(&codes[row, 0], codes.shape[1], &out[row, 0])
    return found


cdef plane_t _plane(const value[:, :] plane) noexcept:
    """What the loops take of a plane that has pixels."""
    cdef plane_t found
    found.step = plane.strides[0] // <ptrdiff_t>sizeof(value)
    if value is float:
        found.values, found.codes = &plane[0, 0], NULL
    else:
        found.values, found.codes = NULL, &plane[0, 0]
    return found


def smooth_inside(const value[:, :] plane, const uint8_t[:, :] where, const float[::1] weights, float tiny):
    """(h, w): the plane smoothed by a symmetric kernel, given from its centre on, over the pixels of a mask alone."""
    _rows(plane.strides[1] == sizeof(value) and where.strides[1] == 1)
    _same(plane.shape[0], where.shape[0])
    _same(plane.shape[1], where.shape[1])
    if not weights.shape[0]:
        raise ValueError("there must be a weight")
    found = np.empty((plane.shape[0], plane.shape[1]), np.float32)
    cdef float[:, ::1] out = found
    cdef int done
    if not found.size:
        return found
    cdef plane_t of = _plane(plane)
    with nogil:
        done = c_smooth(of, &where[0, 0], where.strides[0], plane.shape[0], plane.shape[1], &weights[0],
                        weights.shape[0] - 1, tiny, &out[0, 0])
    if not done:
        raise MemoryError("no memory for a strip of a plane")
    return found


def cell_sums(const value[:, :] plane, const uint8_t[:, :] where, const int32_t[::1] rows,
              const int32_t[::1] rows_share, const int32_t[::1] columns, const int32_t[::1] columns_share,
              int32_t parts, float one, float largest):
    """(2, m, n) and how many are no number: fixed-point totals and numbers of the pixels of a mask by cell.

    Pixel i lies ``share[i]`` (of ``parts``) of the way from cell ``rows[i]`` to the next, and so along the columns;
    it counts for both, the nearer it is the more.
    """
    cdef ptrdiff_t row, missing = 0, width = plane.shape[1]
    cdef int32_t cell
    _rows(plane.strides[1] == sizeof(value) and where.strides[1] == 1)
    _same(plane.shape[0], where.shape[0])
    _same(plane.shape[1], where.shape[1])
    _same(plane.shape[0], rows.shape[0])
    _same(plane.shape[0], rows_share.shape[0])
    _same(plane.shape[1], columns.shape[0])
    _same(plane.shape[1], columns_share.shape[0])
    if not plane.shape[0] * plane.shape[1]:
        raise ValueError("there is no pixel")
    if parts > 4095:
        raise ValueError("eight rows of larger cells do not fit their sums")
    if value is uint8_t:
        if one != CODE_ONE:
            return cell_sums(shares(plane), where, rows, rows_share, columns, columns_share, parts, one, largest)
    if _extreme(rows, -1) < 0 or _extreme(columns, -1) < 0 or np.any(np.diff(rows) < 0):
        raise ValueError("cells are counted from the first and do not fall")
    found = np.zeros((2, _extreme(rows, 1) + 2, _extreme(columns, 1) + 2), np.int64)
    cdef int64_t[:, :, ::1] out = found
    cdef double[:, ::1] sums = np.zeros((2, width))
    cdef int32_t[:, ::1] number = np.zeros((2, width), np.int32)
    cdef plane_t of = _plane(plane)
    cdef ptrdiff_t end, next
    cdef int side = 0
    with nogil:
        cell, row = rows[0], 0
        while row < plane.shape[0]:
            while cell < rows[row]:
                c_line(&sums[side, 0], &number[side, 0], width, &columns[0], &columns_share[0], parts,
                       &out[0, cell, 0], &out[1, cell, 0])
                sums[side, :] = 0
                number[side, :] = 0
                side, cell = 1 - side, cell + 1
            end = row + 1
            while end < plane.shape[0] and end < row + CELL_ROWS and rows[end] == cell:
                end += 1
            for next in range(end, min(end + CELL_ROWS, plane.shape[0])):
                fetch(&plane[next, 0], width * <ptrdiff_t>sizeof(value))
                fetch(&where[next, 0], width)
            missing += c_rows(of, row, &where[row, 0], where.strides[0], end - row, width, one, largest, parts,
                              &rows_share[row], &sums[side, 0], &sums[1 - side, 0], &number[side, 0],
                              &number[1 - side, 0])
            row = end
        for _ in range(2):
            c_line(&sums[side, 0], &number[side, 0], width, &columns[0], &columns_share[0], parts,
                   &out[0, cell, 0], &out[1, cell, 0])
            side, cell = 1 - side, cell + 1
    return found, missing


def smooth_grid(const double[:, ::1] grid, const double[::1] weights):
    """(m, n): a grid smoothed by a symmetric kernel, given from its centre on; nothing lies around it."""
    found = np.empty((grid.shape[0], grid.shape[1]))
    cdef double[:, ::1] out = found
    cdef int done
    if not found.size:
        return found
    with nogil:
        done = c_grid(&grid[0, 0], grid.shape[0], grid.shape[1], &weights[0], weights.shape[0] - 1, &out[0, 0])
    if not done:
        raise MemoryError("no memory for a grid of cells")
    return found


def spline(const float[:, :, ::1] field, const int32_t[::1] down, const float[:, ::1] down_weights,
           const int32_t[::1] across, const float[:, ::1] across_weights, const float[:, :] plane=None):
    """(h, w): a field (2, m, n) of sums and numbers between its cells; sums over numbers, and 0 without any.

    Pixel i lies in cells ``down[i] .. down[i] + 2`` by the weights (3, h), and so across. With a plane (h, w), that
    minus the field.
    """
    cdef const float *taken = NULL
    cdef ptrdiff_t row, end, line, part, width = across.shape[0], first, last, step = 0
    _same(field.shape[0], 2)
    _same(down.shape[0], down_weights.shape[1])
    _same(width, across_weights.shape[1])
    _same(down_weights.shape[0], 3)
    _same(across_weights.shape[0], 3)
    found = np.empty((down.shape[0], width), np.float32)
    cdef float[:, ::1] out = found
    if not found.size:
        return found
    first, last = _extreme(down, -1), _extreme(down, 1)
    if (first < 0 or last + 2 >= field.shape[1] or _extreme(across, -1) < 0
            or _extreme(across, 1) + 2 >= field.shape[2]):
        raise ValueError("the field does not cover the pixels")
    if plane is not None:
        _rows(plane.strides[1] == sizeof(float))
        _same(plane.shape[0], down.shape[0])
        _same(plane.shape[1], width)
    cdef float[:, :, ::1] lines = np.empty((2, last + 3 - first, width), np.float32)
    cdef float[:, ::1] weights = np.ascontiguousarray(np.asarray(down_weights).T)
    with nogil:
        for part in range(2):
            for line in range(lines.shape[1]):
                c_lines(&field[part, first + line, 0], &across[0], &across_weights[0, 0], width, &lines[part, line, 0])
        row = 0
        while row < down.shape[0]:  # rows of a cell lie side by side
            end = row + 1
            while end < down.shape[0] and down[end] == down[row]:
                end += 1
            if plane is not None:
                taken, step = &plane[row, 0], plane.strides[0] // <ptrdiff_t>sizeof(float)
            c_spline(&lines[0, down[row] - first, 0], &lines[1, down[row] - first, 0], width, end - row,
                     &weights[row, 0], taken, step, &out[row, 0])
            row = end
    return found


def histogram(const float[:, :] plane, const uint8_t[:, :] where, float low, float scale, int32_t bins):
    """(bins,) and how many are no number: values under a mask by ``rint((value - low) scale)``, cut to the ends."""
    cdef ptrdiff_t row, missing = 0
    _rows(plane.strides[1] == sizeof(float) and where.strides[1] == 1)
    _same(plane.shape[0], where.shape[0])
    _same(plane.shape[1], where.shape[1])
    if plane.shape[0] * plane.shape[1] > UINT32_MAX:
        raise ValueError("more pixels than can be counted")
    found = np.zeros(bins + 1, np.uint32)  # half as many bytes: what is counted stays in the first cache
    cdef uint32_t[::1] counts = found
    if plane.shape[1]:
        with nogil:
            for row in range(plane.shape[0]):
                missing += c_histogram(&plane[row, 0], &where[row, 0], plane.shape[1], low, scale, bins, &counts[0])
    return found[:bins].astype(np.int64), missing


def sums_of_fours(const float[:, :] plane, const float[:, :] other, const uint8_t[:, :] where, ptrdiff_t top,
                  ptrdiff_t left, float one, float ceiling):
    """Of cells of 4 x 4 px: pixels of a mask (uint8), and their fixed-point sums (float32, exact); (2 m, 2 n) each.

    Of the plane, less ``other`` if it is not None. The first cell begins ``top`` rows above the planes and ``left``
    columns beside them. Then the totals of both planes, (2,), and how many pixels under the mask are no number.
    """
    cdef ptrdiff_t row, cell, missing = 0, rows = plane.shape[0], width = plane.shape[1]
    cdef const float *second = NULL
    _rows(plane.strides[1] == sizeof(float) and where.strides[1] == 1)
    _same(rows, where.shape[0])
    _same(width, where.shape[1])
    if other is not None:
        _rows(other.strides[1] == sizeof(float))
        _same(rows, other.shape[0])
        _same(width, other.shape[1])
    if not rows * width or not 0 <= top < 8 or not 0 <= left < 8:
        raise ValueError("a plane has pixels, and begins in the first two cells")
    shape = (2 * ((top + rows + 7) // 8), 2 * ((left + width + 7) // 8))
    pixels, sums, totals = np.zeros(shape, np.uint8), np.zeros(shape, np.float32), np.zeros(2, np.int64)
    cdef uint8_t[:, ::1] out_pixels = pixels
    cdef float[:, ::1] out = sums
    cdef int64_t[::1] out_totals = totals
    cdef int32_t[:, ::1] lines = np.zeros((2, 4 * shape[1]), np.int32)
    with nogil:
        for row in range(rows):
            if other is not None:
                second = &other[row, 0]
            missing += c_difference(&plane[row, 0], second, &where[row, 0], width, one, ceiling, &lines[0, left],
                                    &lines[1, left], &out_totals[0])
            if (top + row) % 4 == 3 or row == rows - 1:
                cell = (top + row) // 4
                c_fours(&lines[0, 0], &lines[1, 0], out.shape[1], &out[cell, 0], &out_pixels[cell, 0])
                lines[:, :] = 0
    return pixels, sums, totals, missing


def cover_sums(const uint8_t[:, :] mask, const float[:, :] plane, const uint8_t[:, :] where, float one, float ceiling):
    """(3,) and how many are no number: pixels of ``where``, those in the mask, and the total of the plane on those."""
    cdef ptrdiff_t row, missing = 0
    _rows(plane.strides[1] == sizeof(float) and where.strides[1] == 1 and mask.strides[1] == 1)
    for other in (plane, where):
        _same(mask.shape[0], other.shape[0])
        _same(mask.shape[1], other.shape[1])
    found = np.zeros(3, np.int64)
    cdef int64_t[::1] sums = found
    if mask.shape[1]:
        with nogil:
            for row in range(mask.shape[0]):
                missing += c_cover(&mask[row, 0], &plane[row, 0], &where[row, 0], mask.shape[1], one, ceiling,
                                   &sums[0])
    return found, missing


def quantise(const value[:, :] plane, float factor, float shift):
    """(h, w) bytes ``rint(factor plane - shift)``; how many were cut to 0..255, and how many are no number.

    Codes whose bytes are the same are given back as they are.
    """
    cdef ptrdiff_t row, clipped = 0, missing = 0
    cdef uint8_t[:, ::1] out
    _rows(plane.strides[1] == sizeof(value))
    if value is uint8_t:
        same = factor == FULL and shift == 0
        return (np.asarray(plane), 0, 0) if same else quantise(shares(plane), factor, shift)
    else:
        found = np.empty((plane.shape[0], plane.shape[1]), np.uint8)
        out = found
        if found.size:
            with nogil:
                for row in range(plane.shape[0]):
                    missing += c_quantise(&plane[row, 0], plane.shape[1], factor, shift, &out[row, 0], &clipped)
        return found, clipped, missing


def bits_apart(const uint8_t[:, :] plane, ptrdiff_t side):
    """(side^2,): the bits of a plane laid as Blosc's bitshuffle lays them, padded with 0 to a square of whole bytes.

    Bit j of byte i of the k-th eighth is bit k of the pixel at 8 i + j.
    """
    cdef ptrdiff_t row, rows = plane.shape[0], width = plane.shape[1], words = side // 8
    _rows(plane.strides[1] == 1)
    _same(side, 8 * words)
    if rows > side or width > side:
        raise ValueError(f"a plane of {rows} x {width} is larger than {side}")
    found = np.empty(side * side, np.uint8) if rows == side and width else np.zeros(side * side, np.uint8)
    cdef uint8_t[::1] out = found, padded = np.zeros(side, np.uint8)
    if width:
        with nogil:
            for row in range(rows):
                if row + AHEAD < rows:
                    fetch(&plane[row + AHEAD, 0], width)
                if width == side:
                    c_apart(&plane[row, 0], words, side * words, &out[row * words])
                else:
                    padded[:width] = plane[row]
                    c_apart(&padded[0], words, side * words, &out[row * words])
    return found


def halved(const uint8_t[:, :] plane, bint means):
    """(h / 2, w / 2), sides rounded up: of each 2 x 2 the mean, half up, or without ``means`` whether any is set.

    The last row or column of an odd side counts twice.
    """
    cdef ptrdiff_t row, below, rows = plane.shape[0], columns = plane.shape[1]
    _rows(plane.strides[1] == 1)
    found = np.empty(((rows + 1) // 2, (columns + 1) // 2), np.uint8)
    cdef uint8_t[:, ::1] out = found
    if not found.size:
        return found
    with nogil:
        for row in range(out.shape[0]):
            below = 2 * row + 1 if 2 * row + 1 < rows else 2 * row
            if means:
                halve_means(&plane[2 * row, 0], &plane[below, 0], columns, &out[row, 0])
            else:
                halve_any(&plane[2 * row, 0], &plane[below, 0], columns, &out[row, 0])
    return found
