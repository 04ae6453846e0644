"""Memory, channels and orientation of decoded arrays (H, W, C)."""

from __future__ import annotations

import sys
from threading import Lock

import numpy as np
from numpy.typing import DTypeLike

from residue_batch.geometry import Array


def _holders(arrays: list[Array]) -> list[int]:
    return [sys.getrefcount(array) for array in arrays]


_UNHELD = _holders([np.empty(0)])[0]
_decoded: list[Array] = []
_choosing = Lock()


def room(shape: tuple[int, ...], dtype: DTypeLike = np.uint8) -> Array:
    """An array to decode into, of any content: that of an earlier photograph which nobody holds any more, if it fits.

    Pages that are new to a process must be cleared first: a tenth of the time of decoding.
    """
    with _choosing:
        for array, holders in zip(_decoded, _holders(_decoded), strict=True):
            if array.shape == shape and array.dtype == dtype and holders == _UNHELD:
                array.flags.writeable = True
                return array
        array = np.empty(shape, dtype)
        _decoded[:] = [*_decoded[-1:], array]
        return array


def split_alpha(found: Array) -> tuple[Array, Array]:
    """Colour (H, W, C - 1) and where the last channel is fully opaque, bool (H, W)."""
    import cv2

    channels = found.shape[2] - 1
    valid = cv2.extractChannel(found, channels) == np.iinfo(found.dtype).max
    if channels == 1:
        return np.asarray(cv2.extractChannel(found, 0))[..., None], valid
    return np.asarray(cv2.cvtColor(found, cv2.COLOR_BGRA2BGR)), valid  # only drops the last channel


def upright(array: Array, orientation: int) -> Array:
    """The array turned upright; orientation 1..8 in EXIF numbering, result C-contiguous."""
    if orientation == 1:
        return np.ascontiguousarray(array)
    import cv2

    turned: Array = array.view(np.uint8) if array.dtype == np.bool_ else array
    if orientation in (5, 7):
        turned = cv2.transpose(turned)
    if orientation in (2, 4):
        turned = cv2.flip(turned, 1 if orientation == 2 else 0)
    elif orientation in (3, 7):
        turned = cv2.rotate(turned, cv2.ROTATE_180)
    elif orientation in (6, 8):
        turned = cv2.rotate(turned, cv2.ROTATE_90_CLOCKWISE if orientation == 6 else cv2.ROTATE_90_COUNTERCLOCKWISE)
    # OpenCV drops a last axis of length 1.
    turned = turned.reshape(turned.shape[:2] + array.shape[2:])
    return turned.view(np.bool_) if array.dtype == np.bool_ else turned
