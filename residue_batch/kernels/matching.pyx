# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""numpy arrays in, numpy arrays out, around the loops of registration and light matching."""

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

import numpy as np

from residue_batch.kernels.colour import sample

ctypedef fused code:
    uint8_t
    uint16_t

cdef extern from "loops.h" nogil:
    ctypedef struct box_t:
        ptrdiff_t top, left, rows, cols
    void blur_every(const uint16_t *, ptrdiff_t, ptrdiff_t, ptrdiff_t, const float *, int, ptrdiff_t, ptrdiff_t, box_t,
                    float *, uint16_t *)
    void block_means_small(const uint8_t *, ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t, uint16_t *, uint8_t *)
    void c_means "block_means"(const uint8_t *, ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t, uint32_t *,
                               uint8_t *)
    void c_nearest "nearest"(const uint64_t *, ptrdiff_t, const uint64_t *, ptrdiff_t, int32_t *, int32_t *, int32_t *,
                             int32_t *)
    ctypedef struct photograph_t:
        ptrdiff_t height, width, channels
        const double *matrix
        const double *bend
    int c_shift "shift"(const float *, const float *, ptrdiff_t, int, float *, double *, double *, double *)
    int c_cubic "cubic_window"(const uint8_t *, photograph_t, box_t, float *)
    ctypedef struct fit_t:
        ptrdiff_t samples, channels, windows
        const int64_t *starts
        const double *ratio
        const double *contrast
        const double *bend
        const double *terms
        double noise, speckle, uneven, tukey
    int spoilt(const uint16_t *, photograph_t, box_t, uint16_t, uint8_t *)
    void beside(const uint8_t *, box_t, box_t, ptrdiff_t, ptrdiff_t, ptrdiff_t, uint8_t *)
    void c_light "light_sums"(fit_t, const double *, const double *, double, double *, double *, double *)
    void c_below "normal_below"(const double *, ptrdiff_t, double *)


include "boxes.pxi"


def window_samples(const code[:, :, ::1] shot, const uint16_t[::1] table, const double[::1] matrix,
                   const double[::1] bend, const int64_t[:, ::1] outer, const int64_t[:, ::1] inner,
                   const float[::1] weights, ptrdiff_t reach, uint16_t limit, steps, shape):
    """A shot's blurred light at the sampling points of windows: (m, C, r, c), and which can be used: (m, r, c).

    ``outer`` (m, 4) are boxes of the frame that hold the halo of the blur; ``inner`` (m, 4) the boxes inside them,
    from whose first pixel on every ``steps``-th is a sample. A sample within ``reach`` of a pixel that the photograph
    does not show, or that is above ``limit``, cannot be used.
    """
    cdef ptrdiff_t k, c, rows, cols, most = 1, down = steps[0], across = steps[1], windows = outer.shape[0]
    cdef ptrdiff_t height = shape[0], width = shape[1]
    cdef int radius = _radius(weights)
    cdef photograph_t photograph
    cdef box_t box, grid
    if inner.shape[0] != windows or outer.shape[1] != 4 or inner.shape[1] != 4 or down < 1 or across < 1:
        raise ValueError("every window has two boxes of four numbers")
    for k in range(windows):
        most = max(most, (outer[k, 2] - outer[k, 0]) * (outer[k, 3] - outer[k, 1]))
    photograph.height, photograph.width, photograph.channels = shot.shape[0], shot.shape[1], shot.shape[2]
    photograph.matrix, photograph.bend = &matrix[0], &bend[0] if bend.shape[0] else NULL
    found = np.zeros((windows, shot.shape[2], height, width), np.uint16)
    usable = np.zeros((windows, height, width), np.bool_)
    cdef uint8_t[::1] bad = np.empty(most, np.uint8), near = np.empty(height * width, np.uint8)
    cdef float[::1] line = np.empty(most + 2 * radius, np.float32)
    cdef uint16_t[::1] row = np.empty(height * width, np.uint16)
    cdef uint16_t[:, :, ::1] light
    cdef int any
    for k in range(windows):
        light = sample(shot, table, matrix, bend, outer[k])
        box.top, box.left, box.rows, box.cols = outer[k, 0], outer[k, 1], light.shape[1], light.shape[2]
        grid.top, grid.left = inner[k, 0] - outer[k, 0] + down // 2, inner[k, 1] - outer[k, 1] + across // 2
        grid.rows, grid.cols = inner[k, 2] - outer[k, 0] - grid.top, inner[k, 3] - outer[k, 1] - grid.left
        rows, cols = (grid.rows + down - 1) // down, (grid.cols + across - 1) // across
        if grid.top < 0 or grid.left < 0 or grid.top + grid.rows > box.rows or grid.left + grid.cols > box.cols or rows > height or cols > width:
            raise ValueError("a window is not inside its halo, or larger than the grid")
        if rows < 1 or cols < 1:
            continue
        for c in range(light.shape[0]):
            with nogil:
                blur_every(&light[c, 0, 0], box.cols, box.rows, box.cols, &weights[0], radius, down, across, grid,
                           &line[0], &row[0])
            found[k, c, :rows, :cols] = np.asarray(row)[: rows * cols].reshape(rows, cols)
        with nogil:
            any = spoilt(&light[0, 0, 0], photograph, box, limit, &bad[0])
            if any:
                beside(&bad[0], box, grid, down, across, reach, &near[0])
        usable[k, :rows, :cols] = np.asarray(near)[: rows * cols].reshape(rows, cols) == 0 if any else True
    return found, usable


def light_sums(const double[:, ::1] ratio, const double[:, ::1] contrast, const double[:, ::1] bend,
               const double[:, ::1] terms, const int64_t[::1] starts, const double[::1] solved, const double[::1] film,
               double widen, double noise, double speckle, double uneven, double tukey):
    """Weights (C, n), misfits (C, n) and sums by window (9, m, C) of one step of a light fit; see ``light.c``."""
    cdef fit_t fit
    fit.channels, fit.samples, fit.windows = ratio.shape[0], ratio.shape[1], starts.shape[0]
    for part in (contrast, bend):
        _same(part.shape[0], fit.channels)
        _same(part.shape[1], fit.samples)
    _same(terms.shape[0], 5)
    _same(terms.shape[1], fit.samples)
    _same(film.shape[0], fit.windows)
    _same(solved.shape[0], fit.channels + 6)
    if (not fit.windows or not fit.channels or starts[0] != 0 or starts[fit.windows - 1] >= fit.samples
            or np.any(np.diff(starts) < 0)):
        raise ValueError("samples have channels and lie in windows one after the other")
    weight, rest = np.empty((fit.channels, fit.samples)), np.empty((fit.channels, fit.samples))
    sums = np.empty((9, fit.windows, fit.channels))
    cdef double[:, ::1] of_weight = weight, of_rest = rest
    cdef double[:, :, ::1] of_sums = sums
    fit.starts, fit.ratio, fit.contrast = &starts[0], &ratio[0, 0], &contrast[0, 0]
    fit.bend, fit.terms = &bend[0, 0], &terms[0, 0]
    fit.noise, fit.speckle, fit.uneven, fit.tukey = noise, speckle, uneven, tukey
    with nogil:
        c_light(fit, &solved[0], &film[0], widen, &of_weight[0, 0], &of_rest[0, 0], &of_sums[0, 0, 0])
    return weight, rest, sums


def normal_below(const double[::1] values):
    """The share of a standard normal distribution below each value."""
    found = np.empty(values.shape[0])
    cdef double[::1] out = found
    if values.shape[0]:
        c_below(&values[0], values.shape[0], &out[0])
    return found


def block_means(const uint8_t[:, :, :] image, ptrdiff_t down, ptrdiff_t across):
    """(h / down, w / across, c) uint8: means of whole blocks of an image, rounded half to even."""
    cdef ptrdiff_t row, channels = image.shape[2]
    if (down < 1 or across < 1 or image.shape[0] < down or image.shape[1] < across or not channels
            or image.strides[1] != channels or (channels > 1 and image.strides[2] != 1)):
        raise ValueError("an image has rows of pixels, and at least one block")
    found = np.empty((image.shape[0] // down, image.shape[1] // across, channels), np.uint8)
    cdef uint8_t[:, :, ::1] out = found
    cdef uint32_t[::1] line = np.empty(image.shape[1] * channels, np.uint32)
    with nogil:
        for row in range(out.shape[0]):
            if down * across <= 257:
                block_means_small(&image[row * down, 0, 0], image.strides[0], down, across, channels, out.shape[1],
                                  <uint16_t *>&line[0], &out[row, 0, 0])
            else:
                c_means(&image[row * down, 0, 0], image.strides[0], down, across, channels, out.shape[1], &line[0],
                        &out[row, 0, 0])
    return found


def cubic_window(const uint8_t[:, ::1] shot, const double[::1] matrix, const double[::1] bend, box):
    """(h, w) float32: a box of the frame out of a grey photograph, by cubic convolution; edges are repeated."""
    cdef box_t here = _box(box)
    cdef photograph_t photograph
    if matrix.shape[0] != 9 or bend.shape[0] not in (0, 23) or not shot.shape[0] * shot.shape[1]:
        raise ValueError("a homography has 9 numbers, a bend 23 or none, a shot pixels")
    photograph.height, photograph.width, photograph.channels = shot.shape[0], shot.shape[1], 1
    photograph.matrix, photograph.bend = &matrix[0], &bend[0] if bend.shape[0] else NULL
    found = np.empty((here.rows, here.cols), np.float32)
    cdef float[:, ::1] out = found
    cdef int done = 1
    if found.size:
        with nogil:
            done = c_cubic(&shot[0, 0], photograph, here, &out[0, 0])
    if not done:
        raise MemoryError("no memory for a window of the photograph")
    return found


def shift(const float[:, ::1] design, const float[::1] value, int rounds):
    """Robust least squares of ``value`` (n,) over the rows of ``design`` (4, n).

    Returns the solution (4,), the weighted normal matrix (4, 4) and the scale of the misfit; None where it is singular.
    """
    _same(design.shape[0], 4)
    _same(design.shape[1], value.shape[0])
    if not value.shape[0] or rounds < 1:
        return None
    solved, normal = np.empty(4), np.empty((4, 4))
    cdef double[::1] of_solved = solved
    cdef double[:, ::1] of_normal = normal
    cdef float[::1] work = np.empty(3 * value.shape[0], np.float32)
    cdef double noise = 0
    cdef int done
    with nogil:
        done = c_shift(&design[0, 0], &value[0], value.shape[0], rounds, &work[0], &of_solved[0], &of_normal[0, 0],
                       &noise)
    return (solved, normal, noise) if done else None


def mutual_nearest(const uint8_t[:, ::1] left, const uint8_t[:, ::1] right):
    """(n, 3): index left, index right and Hamming distance of 32-byte descriptors that are each other's nearest."""
    if left.shape[1] != 32 or right.shape[1] != 32:
        raise ValueError("descriptors have 32 bytes")
    nearest_right, distances = np.empty(left.shape[0], np.int32), np.empty(left.shape[0], np.int32)
    nearest_left, others = np.empty(right.shape[0], np.int32), np.empty(right.shape[0], np.int32)
    cdef int32_t[::1] of_left = nearest_right, left_distance = distances, of_right = nearest_left, rest = others
    if left.shape[0] and right.shape[0]:
        with nogil:
            c_nearest(<const uint64_t *>&left[0, 0], left.shape[0], <const uint64_t *>&right[0, 0], right.shape[0],
                      &of_left[0], &left_distance[0], &of_right[0], &rest[0])
    else:
        return np.empty((0, 3), np.int32)
    at = np.arange(left.shape[0], dtype=np.int32)
    mutual = nearest_left[nearest_right] == at
    return np.stack([at[mutual], nearest_right[mutual], distances[mutual]], axis=1)
