"""Boxes, tiles and transforms: integers, 3x3 matrices and at most a bend, nothing else.

A pixel is (row, column) with its centre at integers; points are [x, y].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from residue_batch.bend import Bend

Array = np.ndarray


class Box(NamedTuple):
    """A rectangle of pixels: rows ``top <= r < bottom``, columns ``left <= c < right``."""

    top: int
    left: int
    bottom: int
    right: int

    @classmethod
    def whole(cls, shape: tuple[int, ...]) -> Box:
        """The box that covers an array of this shape."""
        return cls(0, 0, shape[0], shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        return self.bottom - self.top, self.right - self.left

    @property
    def pixels(self) -> int:
        return max(self.bottom - self.top, 0) * max(self.right - self.left, 0)

    def grow(self, halo: int, within: Box) -> Box:
        """The box and ``halo`` pixels around it, clipped to ``within``."""
        return Box(
            max(self.top - halo, within.top),
            max(self.left - halo, within.left),
            min(self.bottom + halo, within.bottom),
            min(self.right + halo, within.right),
        )

    def intersect(self, other: Box) -> Box:
        """The pixels in both; may be empty (``pixels == 0``)."""
        return self.grow(0, other)

    def within(self, outer: Box) -> tuple[slice, slice]:
        """Slices of this box in an array that covers ``outer``."""
        return (
            slice(self.top - outer.top, self.bottom - outer.top),
            slice(self.left - outer.left, self.right - outer.left),
        )

    def crop(self, array: Array, covers: Box) -> Array:
        """The view of ``array`` (which covers ``covers``) on this box."""
        return array if self == covers else array[self.within(covers)]


def tiles(shape: tuple[int, int], size: int) -> Iterator[Box]:
    """The tile grid of a frame, row by row; tiles at the right and bottom are clipped."""
    height, width = shape
    for top in range(0, height, size):
        for left in range(0, width, size):
            yield Box(top, left, min(top + size, height), min(left + size, width))


def snug(mask: Array, covers: Box, step: int) -> Box:
    """The smallest box that holds all of a mask, with edges on multiples of ``step``, clipped to what the mask covers.

    Empty where nothing is set.
    """
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8)) if mask.size else (0, 0, 0, 0)
    if not width:
        return Box(covers.top, covers.left, covers.top, covers.left)
    top, left = covers.top + top, covers.left + left
    bottom, right = top + height, left + width
    return Box(top - top % step, left - left % step, bottom + -bottom % step, right + -right % step).intersect(covers)


def plain(shape: tuple[int, int], value: bool) -> Array:
    """(h, w) bool that is the same everywhere; to be read, never written."""
    return _plain(1 << (max(*shape, 1) - 1).bit_length(), value)[: shape[0], : shape[1]]


@lru_cache(4)
def _plain(side: int, value: bool) -> Array:
    found = np.full((side, side), value)
    found.flags.writeable = False
    return found


def strips(height: int, rows: int = 64) -> Iterator[slice]:
    """Slices of ``rows`` rows that cover ``height``: what a kernel keeps in cache."""
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


@dataclass(frozen=True)
class Transform:
    """Where a point of the board frame lies in a shot: a homography, row-major, of the bent frame.

    The matrix maps frame points [x, y, 1], displaced by the bend if there is one, to shot points.
    """

    matrix: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    bend: Bend | None = None

    @classmethod
    def of(cls, matrix: Array, bend: Bend | None = None) -> Transform:
        """From any 3x3 matrix, scaled so that its last element is 1."""
        matrix = np.asarray(matrix, np.float64)
        return cls(tuple(float(v) for v in (matrix / matrix[2, 2]).ravel()), bend)

    @property
    def array(self) -> Array:
        return np.array(self.matrix, np.float64).reshape(3, 3)

    @property
    def numbers(self) -> tuple[Array, Array]:
        """The matrix (9,) and the bend (23,), or (0,) without one; for kernels."""
        return np.array(self.matrix, np.float64), self.bend.numbers if self.bend else np.empty(0)

    def inverse(self) -> Transform:
        """From the shot to the frame, without the bend."""
        return Transform.of(np.linalg.inv(self.array))

    def apply(self, points: Array) -> Array:
        """Map points (n, 2) as [x, y] from the frame to the shot."""
        points = np.asarray(points, np.float64)
        if self.bend is not None:
            points = points + np.stack(self.bend.at(points[:, 0], points[:, 1]), axis=1)
        h = self.array
        mapped = points @ h[:, :2].T + h[:, 2]
        return np.asarray(mapped[:, :2] / mapped[:, 2:])

    def at(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Shot coordinates (x, y) of frame points, float64, element by element: always the same bits.

        ``x`` and ``y`` are float64 arrays that broadcast.
        """
        h = self.array
        if self.bend is not None:
            dx, dy = self.bend.at(*np.broadcast_arrays(x, y))
            x, y = x + dx, y + dy
        if h[2, 0] == 0 and h[2, 1] == 0:
            scale: Array | float = 1.0
        else:
            scale = 1.0 / (h[2, 0] * x + (h[2, 1] * y + h[2, 2]))
        return (h[0, 0] * x + (h[0, 1] * y + h[0, 2])) * scale, (h[1, 0] * x + (h[1, 1] * y + h[1, 2])) * scale

    def maps(self, box: Box) -> tuple[Array, Array]:
        """Shot coordinates (x, y) of each pixel of ``box``, float32, from absolute float64.

        Computed from absolute frame coordinates, so the same pixel gets the
        same bits whatever the tile.
        """
        x = np.arange(box.left, box.right, dtype=np.float64)[None, :]
        y = np.arange(box.top, box.bottom, dtype=np.float64)[:, None]
        map_x, map_y = self.at(x, y)
        return map_x.astype(np.float32), map_y.astype(np.float32)
