"""Shapes of masks: dilate, erode, open, close with a disc or a square; objects by their size.

A disc of radius r holds the offsets with ``dx^2 + dy^2 <= r^2``, a square those
with ``|dx|, |dy| <= r``; offsets are whole pixels, so the radius in effect is
the whole pixels in it. Outside the frame is background that takes nothing
away: nothing grows in from there, and nothing is eroded from there.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from residue_batch import kernels
from residue_batch.step import Array, Mask, step
from residue_batch.units import PixelArea, Pixels

Shape = Literal["disc", "square"]
Radius = Annotated[Pixels, Field(le=256)]
"""A length up to 256 px."""

# millimetres that resolve to 4.9999999 px mean 5
_SLACK = 1e-6

_EXAMPLES = ({"radius": "1 px"}, {"radius": "3.7 px"}, {"radius": "2 px", "shape": "square"}, {"radius": "0 px"})


def reach(radius: float) -> int:
    """Whole pixels in a radius: the halo of one dilation or erosion."""
    return int(radius + _SLACK)


def reach_twice(radius: float) -> int:
    """The halo of a dilation and an erosion one after the other."""
    return 2 * reach(radius)


@lru_cache(maxsize=32)
def _half_widths(radius: float, shape: Shape) -> Array:
    """How many columns to either side belong to a shape, by rows above or below."""
    k = np.arange(reach(radius) + 1)
    inside = k[:, None] ** 2 + k[None, :] ** 2 <= max(radius, reach(radius)) ** 2 + _SLACK
    return inside.sum(axis=1, dtype=np.int32) - 1 if shape == "disc" else np.full(len(k), len(k) - 1, np.int32)


def grown(mask: Array, radius: float, shape: Shape = "disc") -> Array:
    """``dilate``, for other kernels."""
    return kernels.grow_mask(mask.view(np.uint8), _half_widths(radius, shape), False)


def _shrunk(mask: Array, radius: float, shape: Shape) -> Array:
    # what is not in the mask grows, and not from beyond the frame
    return kernels.grow_mask(mask.view(np.uint8), _half_widths(radius, shape), True)


@step(version=1, halo=reach, examples=_EXAMPLES)
def dilate(mask: Mask, *, radius: Radius, shape: Shape = "disc") -> Mask:
    """Pixels within a radius of the mask.

        near_metal: {step: dilate, of: metal, radius: 3 px}

    Outside the frame is background.

    Parameters
    ----------
    mask
        What is grown.
    radius
        A length; whole pixels count.
    shape
        ``disc`` (``dx^2 + dy^2 <= r^2``) or ``square`` (``|dx|, |dy| <= r``).
    """
    return grown(mask, radius, shape)


@step(version=1, halo=reach, examples=_EXAMPLES)
def erode(mask: Mask, *, radius: Radius, shape: Shape = "disc") -> Mask:
    """Pixels of the mask whose surroundings within a radius are all in the mask.

        core: {step: erode, of: residue, radius: 2 px}

    The frame's edge erodes nothing: pixels outside count as if they were in the mask.

    Parameters
    ----------
    mask
        What is eroded.
    radius
        A length; whole pixels count.
    shape
        ``disc`` (``dx^2 + dy^2 <= r^2``) or ``square`` (``|dx|, |dy| <= r``).
    """
    return _shrunk(mask, radius, shape)


@step(version=1, name="open", halo=reach_twice, examples=_EXAMPLES)
def open_(mask: Mask, *, radius: Radius, shape: Shape = "disc") -> Mask:
    """The mask without what is narrower than the shape: erode, then dilate.

        flakes: {step: open, of: residue, radius: 1 px}

    The frame's edge erodes nothing.

    Parameters
    ----------
    mask
        What is cleaned of small parts.
    radius
        A length; whole pixels count.
    shape
        ``disc`` (``dx^2 + dy^2 <= r^2``) or ``square`` (``|dx|, |dy| <= r``).
    """
    return grown(_shrunk(mask, radius, shape), radius, shape)


@step(version=1, name="close", halo=reach_twice, examples=_EXAMPLES)
def close_(mask: Mask, *, radius: Radius, shape: Shape = "disc") -> Mask:
    """The mask with gaps narrower than the shape filled: dilate, then erode.

        film: {step: close, of: residue, radius: 2 px}

    A gap between the mask and the frame's edge is filled like any other.

    Parameters
    ----------
    mask
        What is filled.
    radius
        A length; whole pixels count.
    shape
        ``disc`` (``dx^2 + dy^2 <= r^2``) or ``square`` (``|dx|, |dy| <= r``).
    """
    return _shrunk(grown(mask, radius, shape), radius, shape)


def area_reach(smallest: float) -> int:
    """How far the pixels can lie that decide whether an object is large enough: a line of them."""
    return max(whole_area(smallest) - 1, 0)


def whole_area(smallest: float) -> int:
    """Whole pixels of an area: one that is not whole is not reached by fewer pixels than the next."""
    return int(np.ceil(smallest - _SLACK))


@step(
    version=1,
    halo=area_reach,
    examples=({"smallest": "4 px2"}, {"smallest": "16 px2", "connectivity": 4}, {"smallest": "1 px2"}),
)
def area_opening(
    mask: Mask,
    *,
    smallest: Annotated[PixelArea, Field(le=1024)],
    connectivity: Literal[4, 8] = 8,
) -> Mask:
    """The mask without its small objects.

        particles: {step: area_opening, of: spots, smallest: 16 px2}

    An object is a connected set of pixels; one of fewer pixels than ``smallest``
    goes, others stay as they are. Exact across tiles: whether a pixel belongs to
    ``smallest`` connected pixels is decided within that many pixels around it.
    The frame's edge cuts objects: what lies beyond is not counted.

    Parameters
    ----------
    mask
        What is cleaned of small objects.
    smallest
        An area (``16 px2``, ``0.05 mm2``), up to 1024 pixels: the smallest object that stays.
    connectivity
        8: pixels that touch at a corner are connected; 4: only along a side.
    """
    return kernels.open_areas(mask.view(np.uint8), whole_area(smallest), connectivity == 8)
