"""Change: what is gone, what is new, and what only seems to differ."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from residue_batch.geometry import Array, Box, snug
from residue_batch.measure import Output, measure
from residue_batch.measures.cells import BLOCK, CELL, Cells, cell_sums, joined
from residue_batch.step import Mask, Plane
from residue_batch.tally import ONE, Tally, count

TIMES_NOISE = 3.0

# differences are sorted into levels of their root, in 1/512: fine where noise is, and not many
_FINE = 512
_LEVELS = 1024
_MEDIAN_OF_NORMAL = 0.6745

_OUTPUTS = (
    Output("removed", "1", "mean opacity that is gone"),
    Output("new", "1", "mean opacity that was not there before"),
    Output("remaining", "1", "mean opacity after that is not new"),
    Output("unchanged", "1", "signed difference before - after of cells that did not change"),
    Output("removed_area_pct", "%", "share of pixels in cells that lost residue"),
    Output("new_area_pct", "%", "share of pixels in cells with new residue"),
    Output("level", "1", "opacity by which a cell must differ to be changed"),
)


def _level(differences: Array) -> Array:
    """Level of a difference's size: floor(512 sqrt |d|), from operations that IEEE 754 rounds correctly."""
    roots = np.float32(_FINE) * np.sqrt(np.abs(differences))
    return np.asarray(np.minimum(roots.astype(np.intp), _LEVELS - 1))


def _sorted(cells: Cells) -> Tally:
    """By level, for cells that fall and then those that rise: pixels and sums; and the roughness of full blocks."""
    pixels, sums = cells
    full = pixels == CELL * CELL
    full = full[::2, ::2] & full[::2, 1::2] & full[1::2, ::2] & full[1::2, 1::2]
    # the mixed difference of four neighbours has the variance of four cells and nothing of an even change
    mixed = (sums[::2, ::2] - sums[::2, 1::2] - sums[1::2, ::2] + sums[1::2, 1::2])[full]
    rough = np.bincount(_level(mixed * np.float32(1 / (2 * CELL * CELL * ONE))), minlength=_LEVELS)
    # a cell without a pixel adds nothing at level 0
    means = sums / np.maximum(pixels, 1) * np.float32(1 / ONE)
    place = (_level(means) + _LEVELS * (sums < 0)).ravel()
    # float64 adds integers below 2^53 exactly
    by_level = [np.bincount(place, weights=w.ravel(), minlength=2 * _LEVELS).astype(np.int64) for w in cells]
    return {"pixels_at": by_level[0], "sums_at": by_level[1], "rough": rough}


def _noise(rough: Array) -> float:
    """Standard deviation of a cell's difference, from the median roughness; NaN without a full block."""
    upto = np.cumsum(rough)
    if not upto[-1]:
        return math.nan
    middle = upto[-1] / 2
    level = int(np.searchsorted(upto, middle))
    inside = (middle - int(upto[level] - rough[level])) / int(rough[level])
    low, high = (level / _FINE) ** 2, ((level + 1) / _FINE) ** 2
    return float(low + inside * (high - low)) / _MEDIAN_OF_NORMAL


def _finalize(tally: Mapping[str, Array]) -> dict[str, float]:
    late = _sorted(joined(tally))
    pixels_at, sums_at, rough = (tally[name] + late[name] for name in ("pixels_at", "sums_at", "rough"))
    pixels, noise = int(tally["pixels"]), _noise(rough)
    if math.isnan(noise):
        return dict.fromkeys((output.name for output in _OUTPUTS), math.nan)
    first = min(max(math.ceil(_FINE * math.sqrt(TIMES_NOISE * noise)), 1), _LEVELS)
    # falling cells stand below _LEVELS, rising ones above
    falls, rises = slice(first, _LEVELS), slice(_LEVELS + first, 2 * _LEVELS)
    removed, new = int(sums_at[falls].sum()), -int(sums_at[rises].sum())
    before, after = int(tally["before"]), int(tally["after"])
    unchanged = before - after - removed + new
    scale = 1 / (pixels * ONE)
    return {
        "removed": removed * scale,
        "new": new * scale,
        "remaining": (after - new) * scale,
        "unchanged": unchanged * scale,
        "removed_area_pct": 100 * int(pixels_at[falls].sum()) / pixels,
        "new_area_pct": 100 * int(pixels_at[rises].sum()) / pixels,
        "level": (first / _FINE) ** 2,
    }


@measure(version=1, outputs=_OUTPUTS, finalize=_finalize)
def change(before: Plane, after: Plane, *, where: Mask, at: Box, frame: tuple[int, int]) -> Tally:
    """What is gone and what is new: two opacities compared cell by cell.

        change: {measure: change, of: [opacity.before, opacity.after]}

    Opacities are averaged over cells of 4 px, which lie on multiples of 4 px of
    the frame. A cell whose mean falls by ``level`` or more is *removed*, one that
    rises by as much is *new*, the others are *unchanged*. Each class sums the
    *signed* differences of its cells, so in exact integers

        removed - new + unchanged = load before - load after

    (positive and negative pixels alone would call the noise of an unchanged
    board removed and new). ``remaining`` is the load after without what is new.

    ``level`` is three times the noise of a cell's difference. The noise is told
    by the board itself: four neighbouring cells (8 px) have the mixed difference
    ``(d1 - d2 - d3 + d4) / 2``, which has the standard deviation of one cell and
    holds neither an even change nor a slope; it is the median of its size over all
    such blocks, divided by 0.6745. Half the board may change unevenly before that
    moves. The tiles only sort cells into 1024 levels of ``sqrt |d|`` and
    ``level`` is rounded up to the next of them after all tiles are in: exact,
    and without another visit to the tiles.

    Outputs: the four parts as mean opacities over the observable pixels, like
    ``load``; the area of both changes in per cent; ``level``. NaN where no
    block of 8 px is whole.

    Parameters
    ----------
    before, after
        The plane of ``unmix`` of either phase.
    """
    box = snug(where, at, BLOCK)
    here = box.within(at)
    where = where[here]
    cells, cut, totals = cell_sums(where, box, frame, before[here], after[here])
    return {
        "pixels": count(int(np.count_nonzero(where))),
        "before": np.asarray(totals[0]),
        "after": np.asarray(totals[1]),
        **_sorted(cells),
        **cut,
    }
