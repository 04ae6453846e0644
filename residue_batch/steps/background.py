"""Large-scale background: a smooth field of cell means, the same for every tile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from residue_batch.geometry import Box
from residue_batch.step import Array, Fit, ParameterError, Plane, step
from residue_batch.steps.filters import gaussian_weights
from residue_batch.tally import Tally
from residue_batch.units import Pixels

# fixed-point steps per unit of a plane, and the largest value that is summed as it is
_ONE = np.float32(65536)
_LARGEST = np.float32(16384)

# cells per side of the patches of the cell grid that a tally names; keeps a tile's tally as small as the tile
_PATCH = 64

Cell = Annotated[Pixels, Field(ge=2)]


@dataclass(frozen=True)
class CellField:
    """A value per cell of the frame: float32, row by row, as bytes so that it hashes."""

    shape: tuple[int, int]
    values: bytes

    @property
    def array(self) -> Array:
        return np.frombuffer(self.values, np.float32).reshape(self.shape)


def _whole(cell: float) -> int:
    return int(cell + 0.5)


def _grid(frame: tuple[int, int], size: int) -> tuple[int, int]:
    return -(-frame[0] // size), -(-frame[1] // size)


def _patches(grid: tuple[int, int], box: Box) -> Iterator[tuple[str, Box]]:
    """Names and boxes (in cells) of the patches of the cell grid that meet ``box``."""
    whole = Box(0, 0, *grid)
    for i in range(box.top // _PATCH, -(-box.bottom // _PATCH)):
        for j in range(box.left // _PATCH, -(-box.right // _PATCH)):
            top, left = i * _PATCH, j * _PATCH
            yield f"{i}.{j}", Box(top, left, top + _PATCH, left + _PATCH).intersect(whole)


def _cell_sums(plane: Array, rows: Array, columns: Array) -> Array:
    # along the rows first: that is what numpy does fast, and it shrinks the rest
    return np.add.reduceat(np.add.reduceat(plane, columns, axis=1, dtype=np.int64), rows, axis=0)


def _starts(start: int, stop: int, size: int) -> Array:
    """Where, counted from ``start``, the cells begin that meet ``start .. stop``."""
    edges = np.arange(start // size, -(-stop // size)) * size
    return np.maximum(edges, start) - start


def _chunk(plane: Array, *, where: Array, at: Box, frame: tuple[int, int], cell: float) -> Tally:
    """Sums and counts of a tile per cell of the frame; tiles need not end where cells end."""
    if not at.pixels:
        return {}
    size = _whole(cell)
    scaled = np.zeros(plane.shape, np.float32)
    # not plane * where: NaN * 0 is NaN
    cv2.copyTo(plane, where.view(np.uint8), scaled)
    np.clip(scaled, -_LARGEST, _LARGEST, out=scaled)
    scaled *= _ONE
    np.rint(scaled, out=scaled)
    with np.errstate(invalid="raise"):
        whole = scaled.astype(np.int32)
    rows, columns = _starts(at.top, at.bottom, size), _starts(at.left, at.right, size)
    sums = np.stack([_cell_sums(whole, rows, columns), _cell_sums(where.view(np.uint8), rows, columns)])
    cells = Box(at.top // size, at.left // size, -(-at.bottom // size), -(-at.right // size))
    tally: Tally = {}
    for name, patch in _patches(_grid(frame, size), cells):
        part = np.zeros((2, *patch.shape), np.int64)
        both = patch.intersect(cells)
        part[(slice(None), *both.within(patch))] = sums[(slice(None), *both.within(cells))]
        tally[name] = part
    return tally


def _smooth(grid: Array, weights: Array) -> Array:
    radius = len(weights) - 1
    for axis in (0, 1):
        size = grid.shape[axis]
        pad = [(radius, radius) if a == axis else (0, 0) for a in (0, 1)]
        padded = np.moveaxis(np.pad(grid, pad), axis, 0)
        total = padded[radius : radius + size] * weights[0]
        for k in range(1, radius + 1):
            total += (padded[radius - k : radius - k + size] + padded[radius + k : radius + k + size]) * weights[k]
        grid = np.moveaxis(total, 0, axis)
    return grid


def _decide(tally: Tally, *, frame: tuple[int, int], cell: float, sigma: float) -> CellField:
    """Smoothed sums over smoothed counts."""
    size = _whole(cell)
    grid = _grid(frame, size)
    sums = np.zeros((2, *grid), np.float64)
    for name, patch in _patches(grid, Box(0, 0, *grid)):
        if name in tally:
            sums[(slice(None), *patch.within(Box(0, 0, *grid)))] = tally[name]
    weights = gaussian_weights(sigma / size)
    total, count = _smooth(sums[0], weights), _smooth(sums[1], weights)
    means = np.divide(total / float(_ONE), count, out=np.zeros(grid), where=count > 0)
    return CellField(grid, means.astype(np.float32).tobytes())


@lru_cache(maxsize=64)
def _places(start: int, stop: int, size: int, cells: int) -> tuple[Array, Array]:
    """For each pixel the cell before it and its share of the next, from absolute coordinates."""
    centre = np.clip((np.arange(start, stop, dtype=np.float64) + 0.5) / size - 0.5, 0, cells - 1)
    before = np.minimum(centre.astype(np.intp), max(cells - 2, 0))
    return before, (centre - before).astype(np.float32)


def _interpolated(field: Array, size: int, at: Box) -> Array:
    """Bilinear interpolation between cell centres, constant beyond the outermost."""
    out = np.empty(at.shape, np.float32)
    top, down = _places(at.top, at.bottom, size, field.shape[0])
    left, across = _places(at.left, at.right, size, field.shape[1])
    right = np.minimum(left + 1, field.shape[1] - 1)

    def line(row: int) -> Array:
        values = field[min(row, field.shape[0] - 1)]
        return np.asarray(values[left] * (np.float32(1) - across) + values[right] * across)

    edges = np.flatnonzero(np.diff(top, prepend=-1, append=-1))
    for start, stop in pairwise(edges):
        upper, lower = line(int(top[start])), line(int(top[start]) + 1)
        share = down[start:stop, None]
        part = out[start:stop]
        np.multiply(lower, share, out=part)
        part += upper * (np.float32(1) - share)
    return out


def _check(cell: float, sigma: float) -> None:
    if sigma < _whole(cell) / 2:
        message = f"{sigma:g} px is less than half a cell ({cell:g} px): make the cell smaller"
        raise ParameterError((("sigma", message),))


@step(
    version=1,
    fit=Fit("cell_means", _chunk, _decide),
    check=_check,
    examples=({}, {"cell": "8 px", "sigma": "10 px"}, {"cell": "5 px", "sigma": "4 px"}),
)
def background(
    plane: Plane,  # noqa: ARG001  only the fit reads it
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
    (exact integers, 1/65536 of a unit; values beyond +-16384 are cut), each
    smoothed by a Gaussian over cells, and divided: a normalised convolution on
    the coarse grid. Apply: bilinear interpolation between cell centres. Cells
    far from any valid pixel are 0.

    Parameters
    ----------
    plane
        What the background is taken of; its fit reads valid pixels only.
    cell
        Side of a cell, a length (whole pixels count, 2 px or more).
    sigma
        Standard deviation of the smoothing, a length, at least half a cell.
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
