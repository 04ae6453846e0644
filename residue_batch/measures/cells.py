"""Sums over cells: squares of 4 px on absolute multiples of 4, each counted whole and once, whatever the tiles.

Cells go by blocks of two by two, so that a measure may compare a cell with its neighbours. A block
that lies in one tile is worked up there; one that a tile's border cuts goes into the tally under its
own address, where its pieces add up (tiles of a run are multiples of 64 px: then there is none).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from residue_batch import kernels
from residue_batch.geometry import Array, Box
from residue_batch.step import Mask, Plane
from residue_batch.tally import CEILING, ONE, Tally

CELL = 4
"""Side of a cell, px."""

BLOCK = 2 * CELL
"""Side of two cells: what a neighbourhood of cells is made of."""

_CUT = "cut"


class Cells(NamedTuple):
    """Whole blocks of cells: pixels that count (uint8) and their sums (float32, integers), both (2 m, 2 n)."""

    pixels: Array
    sums: Array


def cell_sums(
    where: Mask, at: Box, frame: tuple[int, int], plane: Plane, less: Plane | None = None
) -> tuple[Cells, Tally, Array]:
    """Pixels and sums of the cells of each block.

    Parameters
    ----------
    where
        (h, w) bool: the pixels that count.
    at
        Where the arrays lie.
    frame
        (height, width) of the frame.
    plane
        (h, w) float32, summed as ``round(a x 16384)``.
    less
        Another plane, which is taken off; in fixed point as well.

    Returns
    -------
    cells
        Those of whole blocks; cells of cut blocks are empty here.
    cut
        (2, 2, 2) int64 of each block that the border of ``at`` cuts, by address: its cells' pixels, then sums.
    totals
        (2,) int64: the sums of both planes.

    Raises
    ------
    FloatingPointError
        For NaN: as an integer it would be a clean pixel.
    """
    if not where.size:
        return Cells(np.zeros((0, 0), np.uint8), np.zeros((0, 0), np.float32)), {}, np.zeros(2, np.int64)
    before = at.top % BLOCK, at.left % BLOCK
    after = -at.bottom % BLOCK, -at.right % BLOCK
    pixels, sums, totals, missing = kernels.sums_of_fours(plane, less, where.view(np.uint8), *before, ONE, CEILING)
    if missing:
        raise FloatingPointError(f"{missing} opacities are no number")
    cells = Cells(pixels, sums)
    cut = _taken_out(
        cells, at, before, (after[0] if at.bottom != frame[0] else 0, after[1] if at.right != frame[1] else 0)
    )
    return cells, cut, totals


def _taken_out(cells: Cells, at: Box, before: tuple[int, int], after: tuple[int, int]) -> Tally:
    """Blocks at the borders that lie partly in another tile; they are empty in ``cells`` from here on."""
    rows, columns = (n // 2 for n in cells.pixels.shape)
    cut = {(0, c) for c in range(columns) if before[0]} | {(rows - 1, c) for c in range(columns) if after[0]}
    cut |= {(r, 0) for r in range(rows) if before[1]} | {(r, columns - 1) for r in range(rows) if after[1]}
    found: Tally = {}
    for r, c in cut:
        block = np.s_[2 * r : 2 * r + 2, 2 * c : 2 * c + 2]
        if cells.pixels[block].any():
            address = f"{_CUT}/{at.top // BLOCK + r}/{at.left // BLOCK + c}"
            found[address] = np.stack([part[block].astype(np.int64) for part in cells])
        for part in cells:
            part[block] = 0
    return found


def joined(tally: Mapping[str, Array]) -> Cells:
    """The cells of the blocks that tiles had cut, from a merged tally."""
    found = [value for name, value in tally.items() if name.startswith(f"{_CUT}/")]
    pixels, sums = np.concatenate(found, axis=2) if found else np.zeros((2, 2, 0), np.int64)
    return Cells(pixels.astype(np.uint8), sums.astype(np.float32))
