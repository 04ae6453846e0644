"""A tile of the board frame out of a shot: one bilinear remap, linear light by table, one blur.

All of it is tile-invariant: a pixel has the same bits whichever tile asks for
it. OpenCV's float32 filters are not, so light stays in u16 until after the blur.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import DTypeLike, NDArray

from residue_batch.errors import UsageError
from residue_batch.geometry import Array, Box, Transform

Tone = Literal["srgb", "linear"]
U16 = NDArray[np.uint16]

FULL_SCALE = 65535
_STRIP = 128  # rows: the maps of a strip stay in cache
_EVERYWHERE = Box(-(1 << 30), -(1 << 30), 1 << 30, 1 << 30)


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


def _integer_shift(transform: Transform) -> tuple[int, int] | None:
    """(dx, dy) when the transform is a translation by whole pixels and nothing else."""
    a, b, dx, c, d, dy, e, f, g = transform.matrix
    if (
        transform.bend is None
        and (a, b, c, d, e, f, g) == (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0)
        and dx == round(dx)
        and dy == round(dy)
    ):
        return round(dx), round(dy)
    return None


def _clamp(box: Box, shape: tuple[int, int]) -> Box:
    """The part of the photograph a box needs when its edge pixels are repeated outwards; never empty."""
    height, width = shape
    top, left = min(max(box.top, 0), height - 1), min(max(box.left, 0), width - 1)
    bottom, right = max(min(box.bottom, height), top + 1), max(min(box.right, width), left + 1)
    return Box(top, left, bottom, right)


def resample(shot: Array, transform: Transform, box: Box, table: U16 | None = None) -> tuple[Array, NDArray[np.bool_]]:
    """The pixels of ``box`` (of the frame), read from a shot by bilinear interpolation.

    With a table the interpolation is of linear light, which is what a sensor adds up: interpolated
    code values are too dark at every edge, by a thousandth and more of the mean opacity of a board.

    Parameters
    ----------
    shot
        (H, W) or (H, W, C), uint8 or uint16, as decoded.
    transform
        Frame to shot.
    box
        What to read, in frame pixels; may lie partly or wholly outside the photograph.
    table
        From `linear_table`: interpolate and return linear light instead of code values.

    Returns
    -------
    pixels
        (h, w[, C]), dtype of the shot; with a table uint16, 65535 = full scale. Outside the photograph its edge pixels
        are repeated, so that a blur near the edge stays sane.
    valid
        (h, w) bool: the sample lies inside the photograph (between its outermost pixel centres).
    """
    height, width = shot.shape[:2]
    rows, columns = box.shape
    shift = _integer_shift(transform)
    if shift is not None:
        wanted = Box(box.top + shift[1], box.left + shift[0], box.bottom + shift[1], box.right + shift[0])
        pixels, valid = _copy(shot, wanted)
        return (pixels if table is None else to_linear(pixels, table)), valid
    pixels = np.empty((rows, columns, *shot.shape[2:]), shot.dtype if table is None else np.uint16)
    valid = np.ones((rows, columns), np.bool_)
    if not box.pixels:
        return pixels, valid
    for top in range(box.top, box.bottom, _STRIP):
        strip = Box(top, box.left, min(top + _STRIP, box.bottom), box.right)
        here = slice(strip.top - box.top, strip.bottom - box.top)
        map_x, map_y = transform.maps(strip)
        wanted = transform.source_box(strip, _EVERYWHERE)
        if wanted.grow(-1, wanted).intersect(Box(0, 0, height, width)) != wanted:
            valid[here] = (map_x >= 0) & (map_x <= width - 1) & (map_y >= 0) & (map_y <= height - 1)
        source = _clamp(wanted, (height, width))
        # Exact: a float32 coordinate minus a smaller integer has no rounding, so the
        # fraction is that of the absolute coordinate. (Subtracting before the cast
        # to float32 would round differently from tile to tile.)
        map_x -= np.float32(source.left)
        map_y -= np.float32(source.top)
        seen = source.crop(shot, Box(0, 0, height, width))
        cv2.remap(
            seen if table is None else to_linear(seen, table),
            map_x,
            map_y,
            cv2.INTER_LINEAR,
            dst=pixels[here],
            borderMode=cv2.BORDER_REPLICATE,
        )
    return pixels, valid


def _copy(shot: Array, wanted: Box) -> tuple[Array, NDArray[np.bool_]]:
    """``wanted`` of the shot, edge pixels repeated outwards, and which pixels are really there."""
    whole = Box.whole(shot.shape)
    if wanted.intersect(whole) == wanted:
        return wanted.crop(shot, whole).copy(), np.ones(wanted.shape, np.bool_)
    y = np.arange(wanted.top, wanted.bottom)
    x = np.arange(wanted.left, wanted.right)
    there = ((y >= 0) & (y < whole.bottom))[:, None] & ((x >= 0) & (x < whole.right))[None, :]
    return shot[np.clip(y, 0, whole.bottom - 1)][:, np.clip(x, 0, whole.right - 1)], there


def blur_radius(sigma: float) -> int:
    """The radius in pixels of the blur kernel: what a tile must read beyond itself."""
    return int(np.ceil(3.0 * sigma)) if sigma > 0 else 0


def blur(plane: U16, sigma: float) -> U16:
    """Gaussian blur of a u16 image (h, w[, C]), by exact fixed-point arithmetic."""
    radius = blur_radius(sigma)
    if radius == 0 or plane.size == 0:
        return plane
    size = (2 * radius + 1, 2 * radius + 1)
    blurred = cv2.GaussianBlur(plane, size, sigma, borderType=cv2.BORDER_REPLICATE)
    # OpenCV drops the channel of a grey image
    return np.asarray(blurred, np.uint16).reshape(plane.shape)


def to_linear(raw: Array, table: U16) -> U16:
    """Linear light (u16, 65535 = full scale) of code values; ``table`` from `linear_table`."""
    if raw.size == 0:
        return raw.astype(np.uint16)
    if raw.dtype == np.uint8:
        return np.asarray(cv2.LUT(np.ascontiguousarray(raw), table), np.uint16).reshape(raw.shape)
    return np.asarray(table[raw], np.uint16)


def light_plane(raw: Array, table: U16 | None, sigma: float) -> U16:
    """Linear, blurred light of a tile.

    Parameters
    ----------
    raw
        (h, w[, C]) with a halo of `blur_radius` (sigma) pixels: code values, or, without a table, linear light.
    table
        From `linear_table` for this dtype; None when `resample` has already returned linear light.
    sigma
        Standard deviation of the blur in pixels; 0 for none.

    Returns
    -------
    (h, w[, C]) uint16, 65535 = full scale. The halo is still there: crop it.
    """
    return blur(raw if table is None else to_linear(raw, table), sigma)
