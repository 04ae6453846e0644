"""Smoothing inside a mask."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from residue_batch.geometry import strips
from residue_batch.step import Array, Mask, Plane, step
from residue_batch.units import Pixels

# no sum of weights that holds a pixel is smaller: exp(-16) at the corner of the kernel
_TINY = np.float32(1e-30)

# pixels of a strip: its three float32 buffers stay in cache
_IN_CACHE = 65536


def gaussian_radius(sigma: float) -> int:
    """Half width of the kernel in pixels: four sigma, rounded; SciPy's rule."""
    return int(4 * sigma + 0.5)


@lru_cache(maxsize=32)
def gaussian_weights(sigma: float) -> Array:
    """Weights of the offsets 0, 1 ... radius (float64); with both sides they add up to 1."""
    offsets = np.arange(gaussian_radius(sigma) + 1, dtype=np.float64)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2) if sigma > 0 else np.ones(1)
    return np.asarray(weights / (2 * weights.sum() - weights[0]))


def _add_taps(source: Array, weights: Array, size: int, out: Array, scratch: Array) -> None:
    """``out[i] = sum_k w[k] (source[i + r - k] + source[i + r + k])`` along the first axis, k upwards.

    An order of its own makes it the same for every tile; OpenCV's float32 filters are not.
    """
    radius = len(weights) - 1
    np.multiply(source[radius : radius + size], weights[0], out=out)
    for k in range(1, radius + 1):
        np.add(source[radius - k : radius - k + size], source[radius + k : radius + k + size], out=scratch)
        np.multiply(scratch, weights[k], out=scratch)
        np.add(out, scratch, out=out)


def _smooth(padded: Array, weights: Array, out: Array) -> None:
    """Separable smoothing of an array padded by the radius on every side."""
    radius = len(weights) - 1
    height, width = out.shape
    full = width + 2 * radius
    rows = max(1, min(height, _IN_CACHE // full))
    down, across, scratch = (np.empty((rows, full), np.float32) for _ in range(3))
    for part in strips(height, rows):
        n = part.stop - part.start
        _add_taps(padded[part.start : part.stop + 2 * radius], weights, n, down[:n], scratch[:n])
        # rows end to end as one line: twice as fast; what runs over a row's end falls into its padding
        line = n * full - 2 * radius
        _add_taps(down.reshape(-1), weights, line, across.reshape(-1)[:line], scratch.reshape(-1)[:line])
        out[part] = across[:n, :width]


def _divide_by_ones(smooth: Array, weights: Array) -> None:
    """Divide by ``_smooth`` of a full mask: the same bits, from one corner piece whose middle repeats."""
    radius = len(weights) - 1
    height, width = smooth.shape
    rows, columns = min(height, 4 * radius + 1), min(width, 4 * radius + 1)
    piece = np.empty((rows, columns), np.float32)
    _smooth(np.pad(np.ones((rows, columns), np.float32), radius), weights, piece)
    middle, end = (columns - 1) // 2, columns // 2
    piece = np.hstack([piece[:, :middle], piece[:, [middle] * (width - columns + 1)], piece[:, columns - end :]])
    middle, end = (rows - 1) // 2, rows // 2
    smooth[:middle] /= piece[:middle]
    smooth[middle : height - end] /= piece[middle]
    smooth[height - end :] /= piece[rows - end :]


@step(version=1, halo=gaussian_radius, examples=({"sigma": "1 px"}, {"sigma": "2.3 px"}, {"sigma": "0.1 px"}))
def gaussian(plane: Plane, *, where: Mask, sigma: Annotated[Pixels, Field(gt=0, le=64)] = 1.0) -> Plane:
    """Smooth with a Gaussian, using only the pixels that count.

        smooth: {step: gaussian, of: opacity, sigma: 2 px}

    Normalised convolution (Knutsson & Westin 1993): ``G(plane x where) / G(where)``,
    with G a separable Gaussian cut off at four sigma. Pixels outside ``where``
    and outside the frame have no weight, so nothing leaks in from glare or
    from the edge; 0 where no pixel that counts is within reach. Costs grow with
    sigma: above about 8 px use ``background``.

    Parameters
    ----------
    plane
        What is smoothed.
    where
        The pixels that count (default: what the photograph shows).
    sigma
        Standard deviation, a length up to 64 px.
    """
    weights = gaussian_weights(sigma).astype(np.float32)
    radius = len(weights) - 1
    height, width = plane.shape
    if plane.size == 0:
        return plane.copy()
    inner = slice(radius, radius + height), slice(radius, radius + width)
    padded = np.zeros((height + 2 * radius, width + 2 * radius), np.float32)
    smooth = np.empty((height, width), np.float32)
    # not plane * where: NaN * 0 is NaN
    cv2.copyTo(plane, where.view(np.uint8), padded[inner])
    _smooth(padded, weights, smooth)
    if where.all():
        _divide_by_ones(smooth, weights)
        return smooth
    weight = np.empty_like(smooth)
    padded[inner] = where
    _smooth(padded, weights, weight)
    np.maximum(weight, _TINY, out=weight)
    smooth /= weight
    return smooth
