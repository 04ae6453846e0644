# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""numpy arrays in, numpy arrays out, around the loops over photographs in colour: checks of shapes, memory for the
results, no arithmetic.
"""

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t

import numpy as np

ctypedef fused code:
    uint8_t
    uint16_t

cdef extern from "loops.h" nogil:
    ctypedef struct box_t:
        ptrdiff_t top, left, rows, cols
    ctypedef struct photograph_t:
        ptrdiff_t height, width, channels
        const double *matrix
        const double *bend
    int sample_u8(const uint8_t *, photograph_t, const uint16_t *, box_t, uint16_t *)
    int sample_u16(const uint16_t *, photograph_t, const uint16_t *, box_t, uint16_t *)
    void blur_every(const uint16_t *, ptrdiff_t, ptrdiff_t, ptrdiff_t, const float *, int, ptrdiff_t, ptrdiff_t, box_t,
                    float *, uint16_t *)
    void blur_scale(const uint16_t *, ptrdiff_t, ptrdiff_t, ptrdiff_t, const float *, int, const float *, ptrdiff_t,
                    ptrdiff_t, float, float *, float *)
    void c_scale "scale"(const uint16_t *, ptrdiff_t, float, float *)
    void c_unmix "unmix"(const float *, ptrdiff_t, const float *, ptrdiff_t, const float *, ptrdiff_t, ptrdiff_t,
                         float, float, float *)
    void c_contrast "contrast"(const float *, ptrdiff_t, const float *, ptrdiff_t, ptrdiff_t, float, uint8_t *)
    ptrdiff_t c_sums "opacity_sums"(const float *, const uint8_t *, const uint8_t *, ptrdiff_t, float, float,
                                    int64_t *)
    ctypedef struct samples_t:
        ptrdiff_t count, channels
        const uint32_t *bits
        const int32_t *block
        const double *x
        const double *y
        const double *white
        const float *board
        const int32_t *loads
    ctypedef struct levels_t:
        ptrdiff_t count
        const float *planes
        const float *tau
        const float *within
    void c_evidence "evidence"(samples_t, levels_t, ptrdiff_t, ptrdiff_t, double, double, float, int64_t *, int64_t *,
                               int64_t *, int64_t *)
    ptrdiff_t c_negative "negative_sums"(const float *, const uint8_t *, ptrdiff_t, float, float, int64_t *)
    void c_above "counts_above"(const float *, const uint8_t *, ptrdiff_t, const float *, ptrdiff_t, int64_t *)
    void running_u8(const uint8_t *, ptrdiff_t, ptrdiff_t, uint8_t *)
    void running_u16(const uint16_t *, ptrdiff_t, ptrdiff_t, uint16_t *)


include "boxes.pxi"

MOST_RADIUS = BLUR_MOST


def undifferenced(const code[:, :, ::1] differences, code[:, :, :] out):
    """Write the pixels (h, w, c) of which each is stored as its difference to the one before in its row."""
    cdef ptrdiff_t row
    if out.shape[0] > differences.shape[0] or out.shape[1] > differences.shape[1]:
        raise ValueError(f"{out.shape[0]} x {out.shape[1]} pixels are more than are stored")
    _same(out.shape[2], differences.shape[2])
    if out.strides[2] != sizeof(code) or out.strides[1] != out.shape[2] * <ptrdiff_t>sizeof(code):
        raise ValueError("rows must be contiguous")
    if not out.shape[1] * out.shape[2]:
        return
    with nogil:
        for row in range(out.shape[0]):
            if code is uint8_t:
                running_u8(&differences[row, 0, 0], out.shape[1], out.shape[2], &out[row, 0, 0])
            else:
                running_u16(&differences[row, 0, 0], out.shape[1], out.shape[2], &out[row, 0, 0])


def sample(const code[:, :, ::1] shot, const uint16_t[::1] table, const double[::1] matrix, const double[::1] bend, box):
    """(C, h, w): ``table[shot]`` (H, W, C), interpolated where bend and homography send the box; edges are repeated."""
    cdef box_t here = _box(box)
    cdef ptrdiff_t levels = 256 if code is uint8_t else 65536
    if not 1 <= shot.shape[2] <= 4 or matrix.shape[0] != 9 or bend.shape[0] not in (0, 23) or table.shape[0] != levels or not shot.shape[0] * shot.shape[1]:
        raise ValueError("a homography has 9 numbers, a bend 23 or none, a table one entry for each code value, a shot pixels")
    found = np.empty((shot.shape[2], here.rows, here.cols), np.uint16)
    cdef uint16_t[:, :, ::1] out = found
    cdef int done
    cdef photograph_t of
    of.height, of.width, of.channels = shot.shape[0], shot.shape[1], shot.shape[2]
    of.matrix, of.bend = &matrix[0], &bend[0] if bend.shape[0] else NULL
    if not found.size:
        return found
    with nogil:
        if code is uint8_t:
            done = sample_u8(&shot[0, 0, 0], of, &table[0], here, &out[0, 0, 0])
        else:
            done = sample_u16(&shot[0, 0, 0], of, &table[0], here, &out[0, 0, 0])
    if not done:
        raise MemoryError("no memory for a strip of the photograph")
    return found


def blurred(const uint16_t[:, :, :] planes, const float[::1] weights, window, ptrdiff_t every=1):
    """A window of (c, h, w), blurred by a symmetric kernel given from its centre on; only each ``every``-th pixel."""
    cdef box_t here = _inside(window, planes.shape[1], planes.shape[2])
    cdef ptrdiff_t channel
    cdef int radius = _radius(weights)
    if every < 1 or planes.strides[2] != sizeof(uint16_t):
        raise ValueError("rows must be contiguous, and every at least 1")
    found = np.empty((planes.shape[0], (here.rows + every - 1) // every, (here.cols + every - 1) // every), np.uint16)
    cdef uint16_t[:, :, ::1] out = found
    cdef float[::1] line = np.empty(planes.shape[2] + 2 * radius, np.float32)
    if not found.size:
        return found
    with nogil:
        for channel in range(planes.shape[0]):
            blur_every(&planes[channel, 0, 0], planes.strides[1] // sizeof(uint16_t), planes.shape[1],
                       planes.shape[2], &weights[0], radius, every, every, here, &line[0], &out[channel, 0, 0])
    return found


def blurred_and_scaled(const uint16_t[:, :, :] planes, const float[::1] weights, const float[:, :, ::1] factor,
                       ptrdiff_t apart, ptrdiff_t past, const float[::1] gain):
    """(c, h, w), blurred, times ``gain[c]`` and a factor that is linear between the rows of a lattice.

    ``factor`` (c, n, w), or (1, n, w) for all channels, holds those rows, ``apart`` rows from each
    other; the planes begin ``past`` the first.
    """
    cdef ptrdiff_t channel
    cdef ptrdiff_t own = factor.shape[0] > 1
    cdef int radius = _radius(weights)
    if planes.strides[2] != sizeof(uint16_t) or gain.shape[0] != planes.shape[0]:
        raise ValueError("rows must be contiguous, and there must be a gain for each channel")
    if own and factor.shape[0] != planes.shape[0] or not factor.shape[0]:
        raise ValueError("there must be a lattice for each channel, or one")
    if factor.shape[2] != planes.shape[2] or past < 0 or (past + planes.shape[1] - 1) // apart + 2 > factor.shape[1]:
        raise ValueError("the lattice does not cover the planes")
    found = np.empty((planes.shape[0], planes.shape[1], planes.shape[2]), np.float32)
    cdef float[:, :, ::1] out = found
    cdef float[::1] line = np.empty(planes.shape[2] + 2 * radius, np.float32)
    if not found.size:
        return found
    with nogil:
        for channel in range(planes.shape[0]):
            blur_scale(&planes[channel, 0, 0], planes.strides[1] // sizeof(uint16_t), planes.shape[1],
                       planes.shape[2], &weights[0], radius, &factor[own * channel, 0, 0], apart, past,
                       gain[channel], &line[0], &out[channel, 0, 0])
    return found


def scaled(const uint16_t[:, :, :] planes, float factor):
    """Planes (c, h, w) times a number."""
    cdef ptrdiff_t channel, row
    if planes.strides[2] != sizeof(uint16_t):
        raise ValueError("rows must be contiguous")
    found = np.empty((planes.shape[0], planes.shape[1], planes.shape[2]), np.float32)
    cdef float[:, :, ::1] out = found
    if not found.size:
        return found
    with nogil:
        for channel in range(planes.shape[0]):
            for row in range(planes.shape[1]):
                c_scale(&planes[channel, row, 0], planes.shape[2], factor, &out[channel, row, 0])
    return found


def unmix(const float[:, :, :] image, const float[:, :, :] reference, const float[::1] white, float alike,
          float limit):
    """(h, w): the share of white in an image (c, h, w) over a reference; see ``steps.unmix``."""
    cdef ptrdiff_t row
    _same(image.shape[0], reference.shape[0])
    _same(image.shape[1], reference.shape[1])
    _same(image.shape[2], reference.shape[2])
    _same(image.shape[0], white.shape[0])
    if image.strides[2] != sizeof(float) or reference.strides[2] != sizeof(float):
        raise ValueError("rows must be contiguous")
    found = np.empty((image.shape[1], image.shape[2]), np.float32)
    cdef float[:, ::1] out = found
    if not found.size:
        return found
    with nogil:
        for row in range(image.shape[1]):
            c_unmix(&image[0, row, 0], image.strides[0] // sizeof(float), &reference[0, row, 0],
                    reference.strides[0] // sizeof(float), &white[0], image.shape[0], image.shape[2], alike, limit,
                    &out[row, 0])
    return found


def contrast(const float[:, :, :] reference, const float[::1] white, float least):
    """(h, w): where the squared distance of reference and white is at least ``least``."""
    cdef ptrdiff_t row
    _same(reference.shape[0], white.shape[0])
    if reference.strides[2] != sizeof(float):
        raise ValueError("rows must be contiguous")
    found = np.empty((reference.shape[1], reference.shape[2]), np.bool_)
    cdef uint8_t[:, ::1] out = found.view(np.uint8)
    if not found.size:
        return found
    with nogil:
        for row in range(reference.shape[1]):
            c_contrast(&reference[0, row, 0], reference.strides[0] // sizeof(float), &white[0], reference.shape[0],
                       reference.shape[2], least, &out[row, 0])
    return found


def opacity_sums(const float[:, :] opacity, const uint8_t[:, :] where, const uint8_t[:, :] saturated, float one,
                 float ceiling):
    """Sums over a mask of ``round(one x opacity)``, clipped to the ceiling, and how many pixels are no number.

    The sums: pixels, total, positive total, of that where saturated, clipped, negative ones, their squares.
    """
    cdef ptrdiff_t row, missing = 0
    _same(opacity.shape[0], where.shape[0])
    _same(opacity.shape[1], where.shape[1])
    _same(opacity.shape[0], saturated.shape[0])
    _same(opacity.shape[1], saturated.shape[1])
    if opacity.strides[1] != sizeof(float) or where.strides[1] != 1 or saturated.strides[1] != 1:
        raise ValueError("rows must be contiguous")
    found = np.zeros(7, np.int64)
    cdef int64_t[::1] sums = found
    if opacity.shape[1]:
        with nogil:
            for row in range(opacity.shape[0]):
                missing += c_sums(&opacity[row, 0], &where[row, 0], &saturated[row, 0], opacity.shape[1], one,
                                  ceiling, &sums[0])
    return found, missing


def negative_sums(const float[:, :] opacity, const uint8_t[:, :] where, float one, float ceiling):
    """Of ``round(one x opacity)`` under a mask: pixels, negative ones, the sum of their squares; and no numbers."""
    cdef ptrdiff_t row, missing = 0
    _same(opacity.shape[0], where.shape[0])
    _same(opacity.shape[1], where.shape[1])
    if opacity.strides[1] != sizeof(float) or where.strides[1] != 1:
        raise ValueError("rows must be contiguous")
    found = np.zeros(3, np.int64)
    cdef int64_t[::1] sums = found
    if opacity.shape[1]:
        with nogil:
            for row in range(opacity.shape[0]):
                missing += c_negative(&opacity[row, 0], &where[row, 0], opacity.shape[1], one, ceiling, &sums[0])
    return found, missing


def counts_above(const float[:, :] plane, const uint8_t[:, :] where, const float[::1] levels):
    """How many values under a mask lie above each level."""
    cdef ptrdiff_t row
    _same(plane.shape[0], where.shape[0])
    _same(plane.shape[1], where.shape[1])
    if plane.strides[1] != sizeof(float) or where.strides[1] != 1:
        raise ValueError("rows must be contiguous")
    found = np.zeros(levels.shape[0], np.int64)
    cdef int64_t[::1] above = found
    if plane.shape[1] and levels.shape[0]:
        with nogil:
            for row in range(plane.shape[0]):
                c_above(&plane[row, 0], &where[row, 0], plane.shape[1], &levels[0], levels.shape[0], &above[0])
    return found


def evidence(const uint32_t[::1] bits, const int32_t[::1] block, const double[::1] x, const double[::1] y,
             const float[:, ::1] board, const double[::1] white, const int32_t[:, ::1] loads, const float[:, ::1] planes,
             const float[::1] tau, const float[::1] within, ptrdiff_t regions, ptrdiff_t blocks, double one, double fine,
             float metal):
    """Sums over sparse samples (n,) by region (r,); see ``evidence.py``.

    In blocks (r, 3 + t, blocks): samples, loads before and after, samples above each of t levels. (r, t): samples
    nearer to a level than ``within``. (r, 3): samples whose board is brighter than ``metal``, and their loads.
    (r, 2, 2 C + 5): leverages of gain, field and white, by phase, in steps of 1 / ``fine``.
    """
    cdef samples_t samples
    cdef levels_t levels
    for size in (block.shape[0], x.shape[0], y.shape[0], board.shape[1], loads.shape[1], planes.shape[1]):
        _same(size, bits.shape[0])
    _same(planes.shape[0], tau.shape[0])
    _same(within.shape[0], tau.shape[0])
    _same(board.shape[0], white.shape[0])
    _same(loads.shape[0], 2)
    if not 1 <= board.shape[0] <= 4 or not 0 <= regions <= 32:
        raise ValueError("a board has 1 to 4 channels and at most 32 regions")
    in_block = np.zeros((regions, 3 + tau.shape[0], blocks), np.int64)
    near, shiny = np.zeros((regions, tau.shape[0]), np.int64), np.zeros((regions, 3), np.int64)
    lever = np.zeros((regions, 2, 2 * board.shape[0] + 5), np.int64)
    cdef int64_t[:, :, ::1] of_blocks = in_block
    cdef int64_t[:, ::1] of_near = near
    cdef int64_t[:, ::1] of_shiny = shiny
    cdef int64_t[:, :, ::1] of_lever = lever
    if bits.shape[0] and regions:
        if np.min(block) < 0 or np.max(block) >= blocks:
            raise ValueError("a sample lies in no block")
        samples.count, samples.channels = bits.shape[0], board.shape[0]
        samples.bits, samples.block, samples.x, samples.y = &bits[0], &block[0], &x[0], &y[0]
        samples.white, samples.board, samples.loads = &white[0], &board[0, 0], &loads[0, 0]
        levels.count = tau.shape[0]
        if levels.count:
            levels.planes, levels.tau, levels.within = &planes[0, 0], &tau[0], &within[0]
        with nogil:
            c_evidence(samples, levels, regions, blocks, one, fine, metal, &of_blocks[0, 0, 0],
                       &of_near[0, 0] if levels.count else NULL, &of_shiny[0, 0], &of_lever[0, 0, 0])
    return in_block, near, shiny, lever


cdef box_t _inside(window, ptrdiff_t rows, ptrdiff_t cols) except *:
    cdef box_t found = _box(window)
    if found.top < 0 or found.left < 0 or found.top + found.rows > rows or found.left + found.cols > cols:
        raise ValueError(f"the window {window} is not inside {rows} x {cols} pixels")
    return found
