"""Scalar planes out of colours: luminance, channels, whiteness, CIE L*a*b*.

Only additions, multiplications and divisions in a fixed order: numpy's
transcendental functions may round a value differently at the end of a row
than in its middle, and a tile has other row ends than the frame.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import DTypeLike

from residue_batch import kernels
from residue_batch.geometry import strips
from residue_batch.step import AnyColour, AnyPlane, Array, Plane, step

# linear sRGB to XYZ (IEC 61966-2-1, D65, 2 degrees), six digits as commonly used
_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]], np.float64
)
# rows divided by their sums: XYZ relative to the white of equal channels, so that grey has a = b = 0
_RELATIVE = (_XYZ / _XYZ.sum(axis=1, keepdims=True)).astype(np.float32)
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


@lru_cache(maxsize=4)
def srgb_table(dtype: DTypeLike) -> Array:
    """Linear light (float32, 1 = full scale) of every sRGB code value of ``uint8`` or ``uint16``."""
    code = np.arange(np.iinfo(dtype).max + 1, dtype=np.float64) / np.iinfo(dtype).max
    light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    return np.asarray(light, np.float32)


def linear(plane: Array) -> Array:
    """Linear light of one channel: by table for sRGB code values, as it is for light."""
    if plane.dtype.kind == "f" or plane.size == 0:
        return np.asarray(plane, np.float32)
    return np.asarray(cv2.LUT(np.ascontiguousarray(plane), srgb_table(plane.dtype)))


def _scaled(plane: Array) -> Array:
    """1 = full scale, without decoding: codes of 8 bit as they are, float32 of others."""
    return kernels.shares(plane) if plane.dtype == np.uint16 else plane


def _mixed(light: list[Array], weights: Array) -> Array:
    """The weighted sum of channels, from first to last."""
    total = light[0] * weights[0]
    for plane, weight in zip(light[1:], weights[1:], strict=True):
        total += plane * weight
    return np.asarray(total)


@step(version=1)
def luma(colour: AnyColour) -> Plane:
    """Luminance: how bright a pixel is, in linear light, 0..1.

        brightness: {step: luma, of: raw}

    ``Y = 0.2126 R + 0.7152 G + 0.0722 B`` (Rec. ITU-R BT.709) of linear light;
    sRGB code values of ``raw`` are decoded by table (IEC 61966-2-1) first. A
    grey photograph is its own luminance.

    Parameters
    ----------
    colour
        ``raw``, ``image`` or ``reference``.
    """
    if len(colour) == 1:
        return linear(colour[0])
    height, width = colour.shape[1:]
    out = np.empty((height, width), np.float32)
    for rows in strips(height):
        out[rows] = _mixed([linear(plane) for plane in colour[:, rows]], _LUMA)
    return out


@step(version=1, examples=({"name": "red"}, {"name": "blue"}))
def channel(colour: AnyColour, *, name: Literal["red", "green", "blue"]) -> AnyPlane:
    """One channel, on the scale of its plane: 1 = full scale.

        blue: {step: channel, of: image, name: blue}

    Of ``raw`` it is the sRGB code value divided by full scale, of ``image`` and
    ``reference`` linear light. A grey photograph has one channel under any name.

    Parameters
    ----------
    colour
        ``raw``, ``image`` or ``reference``.
    name
        ``red``, ``green`` or ``blue``.
    """
    index = ("red", "green", "blue").index(name)
    return _scaled(np.ascontiguousarray(colour[index if len(colour) > 1 else 0]))


@step(version=1)
def whiteness(colour: AnyColour) -> AnyPlane:
    """The smallest of the channels, 0..1: high only where a pixel is bright and colourless.

        pale: {step: whiteness, of: raw}

    ``min(R, G, B)`` on the scale of its plane: sRGB code value / full scale for
    ``raw``, linear light for ``image`` and ``reference``.

    Parameters
    ----------
    colour
        ``raw``, ``image`` or ``reference``.
    """
    if colour.dtype.kind == "u":
        return _scaled(kernels.least(colour))
    least = colour[0]
    for plane in colour[1:]:
        least = np.minimum(least, plane)
    return np.asarray(least)


def _cube_root(x: Array) -> Array:
    """Cube root of positive float32, within 3e-7 of its size: bit trick, then two steps of Halley."""
    root = (x.view(np.int32) // np.int32(3) + np.int32(709958130)).view(np.float32)
    for _ in range(2):
        cube = root * root
        cube *= root
        above = cube + x
        above += x
        cube += cube
        cube += x
        above /= cube
        root *= above
    return root


def _compressed(t: Array) -> Array:
    """The f of CIE 15: cube root, and a line below (6/29)^3."""
    low = t <= np.float32(216 / 24389)
    root = _cube_root(np.maximum(t, np.float32(1e-3)))
    if low.any():
        line = t * np.float32(841 / 108) + np.float32(4 / 29)
        np.copyto(root, line, where=low)
    return root


def _lab(light: list[Array], which: str) -> Array:
    def f(row: int) -> Array:
        return _compressed(light[0] if len(light) == 1 else _mixed(light, _RELATIVE[row]))

    if which == "L":
        return np.asarray(f(1) * np.float32(116) - np.float32(16))
    if which == "a":
        return np.asarray((f(0) - f(1)) * np.float32(500))
    return np.asarray((f(1) - f(2)) * np.float32(200))


@step(version=1, examples=({"which": "L"}, {"which": "a"}, {"which": "b"}))
def lab(colour: AnyColour, *, which: Literal["L", "a", "b"]) -> Plane:
    """One coordinate of CIE 1976 L*a*b*, white point D65, 2 degrees.

        redness: {step: lab, of: raw, which: a}

    Linear light (``raw`` decoded by the sRGB table) to XYZ by IEC 61966-2-1,
    then ``L = 116 f(Y) - 16``, ``a = 500 (f(X) - f(Y))``, ``b = 200 (f(Y) - f(Z))``
    with ``f(t) = cbrt(t)`` above (6/29)^3 and its tangent below (CIE 15). Full scale in
    all channels is L = 100; a and b are 0 for grey.

    Parameters
    ----------
    colour
        ``raw``, ``image`` or ``reference``.
    which
        ``L`` (0..100), ``a`` (green to red) or ``b`` (blue to yellow).
    """
    height, width = colour.shape[1:]
    out = np.empty((height, width), np.float32)
    for rows in strips(height, 32):
        out[rows] = _lab([linear(plane) for plane in colour[:, rows]], which)
    return out
