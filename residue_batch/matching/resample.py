"""A tile of the board frame out of a shot: linear light by table, bilinear, and its blur.

All of it is tile-invariant: a pixel has the same bits whichever tile asks for it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from residue_batch import kernels
from residue_batch.errors import UsageError
from residue_batch.geometry import Array, Box, Transform, plain

Tone = Literal["srgb", "linear"]
U16 = NDArray[np.uint16]

FULL_SCALE = 65535
_OPAQUE = np.array([0, FULL_SCALE] + [0] * 254, np.uint16)


def linear_table(dtype: DTypeLike, tone: Tone) -> U16:
    """The table from code value to linear light, 65535 = full scale.

    Parameters
    ----------
    dtype
        ``uint8`` (256 entries) or ``uint16`` (65536 entries).
    tone
        ``srgb`` decodes by IEC 61966-2-1, ``linear`` only scales.

    Raises
    ------
    UsageError
        For any other dtype or tone.
    """
    kind = np.dtype(dtype)
    if kind not in (np.dtype(np.uint8), np.dtype(np.uint16)):
        raise UsageError(f"pixels are {kind}; expected uint8 or uint16")
    code = np.arange(np.iinfo(kind).max + 1, dtype=np.float64) / np.iinfo(kind).max
    if tone == "srgb":
        code = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    elif tone != "linear":
        raise UsageError(f"tone is {tone!r}; expected 'srgb' or 'linear'")
    return np.rint(code * FULL_SCALE).astype(np.uint16)


def code_table(dtype: DTypeLike, tone: Tone) -> Array:
    """The table back: from linear light (65536 entries) to the nearest code value of this dtype."""
    linear = linear_table(dtype, tone).astype(np.float64)
    between = (linear[1:] + linear[:-1]) / 2
    return np.searchsorted(between, np.arange(FULL_SCALE + 1)).astype(dtype)


@lru_cache
def tables_of(dtype: str, tone: Tone) -> tuple[U16, Array]:
    """The table to linear light and the table back."""
    return linear_table(dtype, tone), code_table(dtype, tone)


def resample(shot: Array, transform: Transform, box: Box, table: U16) -> U16:
    """Linear light of ``box`` (of the frame), read from a shot by bilinear interpolation.

    Light is interpolated, which is what a sensor adds up: interpolated code values are too dark at
    every edge, by a thousandth and more of the mean opacity of a board.

    Parameters
    ----------
    shot
        (H, W) or (H, W, C), uint8 or uint16, as decoded; C at most 4.
    transform
        Frame to shot.
    box
        What to read, in frame pixels; may lie partly or wholly outside the photograph.
    table
        From `linear_table`, for the dtype of the shot.

    Returns
    -------
    (C, h, w) uint16, 65535 = full scale. Outside the photograph its edge pixels are repeated, so that a
    blur near the edge stays sane; `inside` tells which they are.
    """
    return kernels.sample(np.ascontiguousarray(np.atleast_3d(shot)), table, *transform.numbers, box)


def seen(shape: tuple[int, ...], valid: NDArray[np.bool_] | None, transform: Transform, box: Box) -> NDArray[np.bool_]:
    """(h, w) bool: which pixels of ``box`` a photograph shows: `inside` it, and sampled from opaque pixels only."""
    found = inside(shape, transform, box)
    if valid is not None:
        found = found & (resample(valid.view(np.uint8), transform, box, _OPAQUE)[0] == FULL_SCALE)
    return found


def inside(shape: tuple[int, ...], transform: Transform, box: Box) -> NDArray[np.bool_]:
    """(h, w) bool, to be read: the pixels of ``box`` that lie in a photograph, between its outermost pixel centres."""
    height, width = shape[:2]
    if not box.pixels or _is_inside(height, width, transform, box):
        return plain(box.shape, True)
    map_x, map_y = transform.maps(box)
    return np.asarray((map_x >= 0) & (map_x <= width - 1) & (map_y >= 0) & (map_y <= height - 1))


@lru_cache(256)
def _is_inside(height: int, width: int, transform: Transform, box: Box) -> bool:
    """Whether all of a box is known to lie in a photograph."""
    if transform.bend is not None:
        return False
    corners = np.array([[x, y] for x in (box.left, box.right - 1) for y in (box.top, box.bottom - 1)], np.float64)
    (left, top), (right, bottom) = (end(transform.apply(corners), axis=0) for end in (np.min, np.max))
    # a homography maps the box to a convex quadrangle: corners inside, all inside
    return bool(left >= 0 and top >= 0 and right <= width - 1 and bottom <= height - 1)


def blur_radius(sigma: float) -> int:
    """The radius in pixels of the blur kernel: what a tile must read beyond itself."""
    return int(np.ceil(3.0 * sigma)) if sigma > 0 else 0


@lru_cache(64)
def blur_weights(sigma: float) -> NDArray[np.float32]:
    """(radius + 1,) float32: half a Gaussian kernel of unit sum, from its centre outwards."""
    place = np.arange(blur_radius(sigma) + 1)
    half = np.exp(-0.5 * np.square(place / sigma)) if sigma > 0 else np.ones(1)
    return np.asarray(half / (2 * half.sum() - half[0]), np.float32)


def blur(planes: U16, sigma: float, window: Box | None = None, every: int = 1) -> U16:
    """Gaussian blur of planar light (c, h, w); every pixel is summed in one order, so tiles do not matter.

    Parameters
    ----------
    planes
        uint16; edge pixels are repeated outwards.
    sigma
        Standard deviation in pixels; 0 for none.
    window
        What of it is wanted, in pixels of ``planes``; default all.
    every
        Of the window only each ``every``-th row and column.
    """
    return kernels.blurred(planes, blur_weights(sigma), window or Box.whole(planes.shape[1:]), every)
