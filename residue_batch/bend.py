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

    @property
    def numbers(self) -> Array:
        """(23,) float64: centre, unit, along, down; for kernels."""
        return np.array([*self.centre, self.unit, *self.along, *self.down], np.float64)

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
