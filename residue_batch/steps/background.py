"""Large-scale background: a smooth field of cell means, the same for every tile."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import numpy as np
from pydantic import Field

from residue_batch import kernels
from residue_batch.geometry import Box
from residue_batch.step import AnyPlane, Array, Fit, ParameterError, Plane, step
from residue_batch.steps.filters import gaussian_weights
from residue_batch.tally import Tally
from residue_batch.units import Pixels

# fixed-point steps per unit of a plane, and the largest value that is summed as it is
_ONE = 65536.0
_LARGEST = 16384.0

# cells per side of the patches of the cell grid that a tally names; keeps a tile's tally as small as the tile
_PATCH = 64

Cell = Annotated[Pixels, Field(ge=2, le=128)]


@dataclass(frozen=True)
class CellField:
    """Sum and number per cell of the frame: float32 (2, rows, columns), as bytes so that it hashes."""

    shape: tuple[int, int]
    values: bytes

    @property
    def array(self) -> Array:
        return np.frombuffer(self.values, np.float32).reshape(2, *self.shape)


def _whole(cell: float) -> int:
    return int(cell + 0.5)


def _grid(frame: tuple[int, int], size: int) -> tuple[int, int]:
    """The cells of a frame, and one row of them more on every side."""
    return -(-frame[0] // size) + 2, -(-frame[1] // size) + 2


def _patches(grid: tuple[int, int], box: Box) -> Iterator[tuple[str, Box]]:
    """Names and boxes (in cells) of the patches of the cell grid that meet ``box``."""
    whole = Box(0, 0, *grid)
    for i in range(box.top // _PATCH, -(-box.bottom // _PATCH)):
        for j in range(box.left // _PATCH, -(-box.right // _PATCH)):
            top, left = i * _PATCH, j * _PATCH
            yield f"{i}.{j}", Box(top, left, top + _PATCH, left + _PATCH).intersect(whole)


def _shares(start: int, stop: int, size: int) -> tuple[Array, Array]:
    """For each pixel the cell whose centre lies before it, and its share of the next in parts of ``2 size``.

    Cells are counted from the one before the frame.
    """
    place = 2 * np.arange(start, stop, dtype=np.int32) + 1 + size
    return place // (2 * size), place % (2 * size)


def _chunk(plane: Array, *, where: Array, at: Box, frame: tuple[int, int], cell: float) -> Tally:
    """Sums and numbers of a tile's pixels by cell of the frame; each counts for the four cells around it."""
    if not at.pixels:
        return {}
    size = _whole(cell)
    rows, row_shares = _shares(at.top, at.bottom, size)
    columns, column_shares = _shares(at.left, at.right, size)
    top, left = int(rows[0]), int(columns[0])
    sums, missing = kernels.cell_sums(
        plane, where.view(np.uint8), rows - top, row_shares, columns - left, column_shares, 2 * size, _ONE, _LARGEST
    )
    if missing:
        raise FloatingPointError(f"{missing} values are no number")
    cells = Box(top, left, top + sums.shape[1], left + sums.shape[2])
    tally: Tally = {}
    for name, patch in _patches(_grid(frame, size), cells):
        part = np.zeros((2, *patch.shape), np.int64)
        both = patch.intersect(cells)
        part[(slice(None), *both.within(patch))] = sums[(slice(None), *both.within(cells))]
        tally[name] = part
    return tally


def _decide(tally: Tally, *, frame: tuple[int, int], cell: float, sigma: float) -> CellField:
    """Smoothed sums over smoothed numbers."""
    size = _whole(cell)
    grid = _grid(frame, size)
    sums = np.zeros((2, *grid), np.float64)
    for name, patch in _patches(grid, Box.whole(grid)):
        if name in tally:
            sums[(slice(None), *patch.within(Box.whole(grid)))] = tally[name]
    # sharing a pixel between cells and the spline through them smooth as well: a variance of cell^2 / 6 and cell^2 / 4
    weights = gaussian_weights(math.sqrt(max(sigma**2 - size**2 * 5 / 12, 0.0)) / size)
    total, count = kernels.smooth_grid(sums[0], weights), kernels.smooth_grid(sums[1], weights)
    return CellField(grid, np.stack([total / _ONE, count]).astype(np.float32).tobytes())


@lru_cache(maxsize=64)
def _places(start: int, stop: int, size: int) -> tuple[Array, Array]:
    """For each pixel the first of the three cells that make it, and their weights (3, n): a quadratic B-spline.

    From absolute coordinates. It goes on straight where cells lie on a line, and has no corner at any cell.
    """
    centre = (np.arange(start, stop, dtype=np.float64) + 0.5) / size - 0.5
    nearest = np.floor(centre + 0.5)
    off = centre - nearest
    weights = np.stack([0.5 * np.square(0.5 - off), 0.75 - np.square(off), 0.5 * np.square(0.5 + off)])
    return nearest.astype(np.int32), weights.astype(np.float32)


def _interpolated(field: Array, size: int, at: Box, plane: Array | None = None) -> Array:
    """The spline through the cells of a field that has one row of cells more on every side than the frame.

    With ``plane`` it is what remains of that when the spline is taken off.
    """
    if not at.pixels:
        return np.empty(at.shape, np.float32)
    top, down = _places(at.top, at.bottom, size)
    left, across = _places(at.left, at.right, size)
    return kernels.spline(field, top, down, left, across, plane)


def _above(plane: Array, _: Array, *, at: Box, fitted: CellField, cell: float, sigma: float) -> Array:  # noqa: ARG001
    """``difference`` of a plane and its background."""
    return _interpolated(fitted.array, _whole(cell), at, plane)


def _check(cell: float, sigma: float) -> None:
    if sigma < _whole(cell) * 2 / 3:
        message = f"{sigma:g} px is less than two thirds of a cell ({cell:g} px): make the cell smaller"
        raise ParameterError((("sigma", message),))


@step(
    version=2,
    fit=Fit("cell_means", _chunk, _decide),
    check=_check,
    examples=({}, {"cell": "8 px", "sigma": "10 px"}, {"cell": "5 px", "sigma": "4 px"}),
    fuses={"difference": _above},
)
def background(
    plane: AnyPlane,  # noqa: ARG001  only the fit reads it
    *,
    at: Box,
    fitted: CellField,
    cell: Cell = 32.0,
    sigma: Pixels = 64.0,  # noqa: ARG001  only the fit reads it
) -> Plane:
    """The large-scale background of a plane; subtract it with ``difference``.

        haze:  {step: background, of: opacity, sigma: 64 px}
        local: {step: difference, of: [opacity, haze]}

    A fitted step. Fit: the valid pixels' sum and number per cell of the frame
    (exact integers, 1/65536 of a unit; values beyond +-16384 are cut; a pixel
    is shared between the cells around it), each smoothed by a Gaussian over
    cells. Apply: a quadratic B-spline through the cells of either, and one divided
    by the other: a normalised convolution on the coarse grid. What sharing and spline smooth by themselves
    is taken off ``sigma``: with a cell of a third of sigma the result is that of
    the convolution to 1e-4. Cells far from any valid pixel are 0.

    Parameters
    ----------
    plane
        What the background is taken of; its fit reads valid pixels only.
    cell
        Side of a cell, a length (whole pixels count, 2 px to 128 px).
    sigma
        Standard deviation of the smoothing, a length, at least two thirds of a cell.
    """
    return _interpolated(fitted.array, _whole(cell), at)


@step(version=1)
def difference(a: Plane, b: Plane) -> Plane:
    """One plane minus another: ``a - b``.

        local: {step: difference, of: [opacity, haze]}

    No parameters; the unit is that of the planes.

    Parameters
    ----------
    a, b
        Scalar planes.
    """
    return np.asarray(a - b)
