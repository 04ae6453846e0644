"""A bend: the smooth displacement that a homography cannot express (a lens's distortion, a bowed board).

Cubic in x and y, ten terms along each axis: radial distortion of the third order is exactly of this
form, and twenty numbers are what some thirty windows of a board can tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray

POWERS = ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3))
"""Powers of x and y of the terms."""

NODE = 16
"""Pixels between the nodes at which a bent map is computed; it is bilinear between them."""


@dataclass(frozen=True)
class Bend:
    """Displacement of frame points, px.

    Parameters
    ----------
    centre, unit
        x and y are ``(point - centre) / unit``.
    along, down
        Coefficients of ``POWERS`` for the displacement in x and in y, px.
    """

    centre: tuple[float, float]
    unit: float
    along: tuple[float, ...]
    down: tuple[float, ...]

    def at(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Displacement in x and in y of points, element by element: always the same bits."""
        terms = terms_of((x - self.centre[0]) / self.unit, (y - self.centre[1]) / self.unit)
        moved = np.zeros((2, *np.shape(terms[0])))
        for term, *each in zip(terms, self.along, self.down, strict=True):
            for axis, factor in enumerate(each):
                moved[axis] += factor * term
        return moved[0], moved[1]


def terms_of(x: Array, y: Array) -> list[Array]:
    """The terms of a bend at some places (in units): one array per power."""
    return [x**i * y**j for i, j in POWERS]


def knots(start: int, stop: int) -> tuple[Array, Array, Array]:
    """(positions of the nodes around some pixels, each pixel's fraction past its node, number of that node)."""
    pixels = np.arange(start, stop)
    number = pixels // NODE
    first, last = start // NODE, max(stop - 1, start) // NODE + 1
    return np.arange(first, last + 1, dtype=np.float64) * NODE, (pixels - number * NODE) / NODE, number - first


def spread(values: Array, rows: tuple[Array, Array, Array], columns: tuple[Array, Array, Array]) -> Array:
    """Bilinear between nodes: float32 (h, w) of ``values`` at the nodes of ``knots``."""
    left, right = values[:, columns[2]], values[:, columns[2] + 1]
    wide = left + (right - left) * columns[1]
    climb = wide[1:] - wide[:-1]
    found = np.empty((len(rows[1]), len(columns[1])), np.float32)
    for number in range(len(climb)):  # a band of 16 rows stays in cache
        here = slice(*np.searchsorted(rows[2], [number, number + 1]))
        found[here] = wide[number] + climb[number] * rows[1][here, None]
    return found
