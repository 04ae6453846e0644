"""Sums over cells: squares of 4 px on absolute multiples of 4, each counted whole and once, whatever the tiles.

Cells go by blocks of two by two, so that a measure may compare a cell with its neighbours. A block
that lies in one tile is worked up there; one that a tile's border cuts goes into the tally under its
own address, where its pieces add up (tiles of a run are multiples of 64 px: then there is none).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import cv2
import numpy as np

from residue_batch.geometry import Array, Box
from residue_batch.step import Mask
from residue_batch.tally import Tally

CELL = 4
"""Side of a cell, px."""

BLOCK = 2 * CELL
"""Side of two cells: what a neighbourhood of cells is made of."""

_CUT = "cut"


class Cells(NamedTuple):
    """Whole blocks of cells: pixels that count (uint8) and their sums (float32, integers), both (2 m, 2 n)."""

    pixels: Array
    sums: Array


def total(values: Array) -> int:
    """The sum of int16 values: float64 adds integers below 2^53 exactly."""
    return int(cv2.sumElems(values)[0]) if values.size else 0


def cell_sums(values: Array, where: Mask, at: Box, frame: tuple[int, int]) -> tuple[Cells, Tally]:
    """Pixels and sums of the cells of each block.

    Parameters
    ----------
    values
        (h, w) float32 that hold integers below 2^20, 0 outside ``where``.
    where
        (h, w) bool: the pixels that count.
    at
        Where the arrays lie.
    frame
        (height, width) of the frame.

    Returns
    -------
    cells
        Those of whole blocks; cells of cut blocks are empty here.
    cut
        (2, 2, 2) int64 of each block that the border of ``at`` cuts, by address: its cells' pixels, then sums.
    """
    if not values.size:
        return Cells(np.zeros((0, 0), np.uint8), np.zeros((0, 0), np.float32)), {}
    before = at.top % BLOCK, at.left % BLOCK
    after = -at.bottom % BLOCK, -at.right % BLOCK
    counted: Array = where.view(np.uint8) * np.uint8(CELL * CELL)
    if any(before + after):
        border = before[0], after[0], before[1], after[1], cv2.BORDER_CONSTANT
        values, counted = cv2.copyMakeBorder(values, *border), cv2.copyMakeBorder(counted, *border)
    size = values.shape[1] // CELL, values.shape[0] // CELL
    # exact in any order: a sum of 16 such integers, and its 16th part, fit float32
    pixels = np.asarray(cv2.resize(counted, size, interpolation=cv2.INTER_AREA), np.uint8)
    sums = np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA)) * np.float32(CELL * CELL)
    cells = Cells(pixels, sums)
    return cells, _taken_out(
        cells, at, before, (after[0] if at.bottom != frame[0] else 0, after[1] if at.right != frame[1] else 0)
    )


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
