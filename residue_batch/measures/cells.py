"""Sums over cells: squares of 4 px on absolute multiples of 4, each counted whole and once, whatever the tiles.

Cells go by blocks of two by two, so that a measure may compare a cell with its neighbours. A block
that lies in one tile is worked up there; one that a tile's border cuts goes into the tally under its
own address, where its pieces add up (tiles of a run are multiples of 64 px: then there is none).
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from residue_batch.geometry import Array, Box
from residue_batch.step import Mask
from residue_batch.tally import Tally, fixed

CELL = 4
"""Side of a cell, px."""

_BLOCK = 2 * CELL
_CUT = "cut"


def seen(plane: Array, where: Mask) -> Array:
    """Opacities as int16 fixed point where they count, 0 elsewhere; outside ``where`` anything may stand."""
    return fixed(np.where(where, plane, np.float32(0)))


def snug(where: Mask, at: Box) -> Box:
    """The part of a tile that holds all of ``where``, in whole blocks; empty where nothing counts."""
    rows, columns = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
    if not len(rows):
        return Box(at.top, at.left, at.top, at.left)
    top, bottom = at.top + int(rows[0]), at.top + int(rows[-1]) + 1
    left, right = at.left + int(columns[0]), at.left + int(columns[-1]) + 1
    return Box(
        top - top % _BLOCK, left - left % _BLOCK, bottom + -bottom % _BLOCK, right + -right % _BLOCK
    ).intersect(at)


def block_sums(values: Array, where: Mask, at: Box, frame: tuple[int, int]) -> tuple[Array, Tally]:
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
    blocks
        (n, 4, 2) int64: of each block that lies here whole and has a pixel that counts, its cells'
        pixels and sums; the cells row by row.
    cut
        The same (4, 2) of blocks that the border of ``at`` cuts, by address.
    """
    before = at.top % _BLOCK, at.left % _BLOCK
    after = -at.bottom % _BLOCK, -at.right % _BLOCK
    counted = where.view(np.uint8) * np.uint8(CELL * CELL)
    if any(before + after):
        border = before[0], after[0], before[1], after[1], cv2.BORDER_CONSTANT
        values, counted = cv2.copyMakeBorder(values, *border), cv2.copyMakeBorder(counted, *border)
    rows, columns = values.shape[0] // _BLOCK, values.shape[1] // _BLOCK
    cells = np.empty((rows, columns, 4, 2), np.int64)
    # exact in any order: a sum of 16 such integers, and its 16th part, fit float32
    for index, plane in enumerate((counted, values)):
        means = cv2.resize(plane, (2 * columns, 2 * rows), interpolation=cv2.INTER_AREA)
        sums = means if plane is counted else means * np.float32(CELL * CELL)
        cells[..., index].reshape(rows, columns, 2, 2)[...] = sums.reshape(rows, 2, columns, 2).transpose(0, 2, 1, 3)
    whole = cells[..., 0].any(axis=2)
    cut = np.zeros_like(whole)
    for axis in range(2):
        edges = cut.swapaxes(0, axis)
        if before[axis]:
            edges[0] = True
        if after[axis] and at[2 + axis] != frame[axis]:
            edges[-1] = True
    places = np.argwhere(whole & cut)
    pieces = {f"{_CUT}/{at.top // _BLOCK + r}/{at.left // _BLOCK + c}": cells[r, c].copy() for r, c in places}
    return cells[whole & ~cut], pieces


def joined(tally: Mapping[str, Array]) -> Array:
    """(n, 4, 2): the blocks of a merged tally that tiles had cut."""
    found = [value for name, value in tally.items() if name.startswith(f"{_CUT}/")]
    return np.array(found, np.int64).reshape(-1, 4, 2)
