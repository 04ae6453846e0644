"""Optical density: opacity on the scale on which layers add up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache

import numpy as np

from residue_batch.geometry import Array, Box, snug
from residue_batch.measure import Output, measure
from residue_batch.measures.cells import BLOCK, Cells, cell_sums, joined
from residue_batch.step import Mask, Plane
from residue_batch.tally import CEILING, ONE, Tally, count

CAP = 0.98
"""Opacities are cut here: -ln(1 - a) would run away."""

_LOWEST = -round(CEILING * ONE)


@cache
def _table() -> Array:
    """-ln(1 - a) of each fixed-point opacity up to the cap, in the same fixed point."""
    opacity = np.arange(_LOWEST, math.floor(CAP * ONE) + 1, dtype=np.float64) / ONE
    return np.asarray(np.rint(-np.log1p(-opacity) * ONE), np.int64)


def _density(cells: Cells) -> tuple[int, int]:
    """(sum of density x pixels over cells, pixels in cells at the cap)."""
    pixels, sums = (part.astype(np.int64) for part in cells)
    # the nearest fixed-point opacity of the cell's mean, in integers; a cell without a pixel weighs nothing
    places = (2 * sums + pixels) // np.maximum(2 * pixels, 1) - _LOWEST
    capped = places >= len(_table())
    density = _table()[np.minimum(places, len(_table()) - 1)]
    return int((density * pixels).sum()), int(pixels[capped].sum())


def _finalize(tally: Mapping[str, Array]) -> dict[str, float]:
    pixels = int(tally["pixels"])
    if not pixels:
        return {"": math.nan, "capped_pct": math.nan}
    late, late_capped = _density(joined(tally))
    return {
        "": (int(tally["density"]) + late) / (pixels * ONE),
        "capped_pct": 100 * (int(tally["capped"]) + late_capped) / pixels,
    }


@measure(
    version=1,
    outputs=(
        Output("", "1", "mean optical density", reducible=True),
        Output("capped_pct", "%", "share of pixels in cells with an opacity above 0.98"),
    ),
    finalize=_finalize,
)
def density(opacity: Plane, *, where: Mask, at: Box, frame: tuple[int, int]) -> Tally:
    """Mean optical density: a secondary number that gives thick residue its depth.

        od_load: {measure: density, of: opacity}

    ``ln 1 / (1 - a)`` of the opacity averaged over cells of 4 px (on multiples of 4 px
    of the frame), ``a`` cut at 0.98: two layers of one film have twice the density
    of one, but less than twice its opacity. It is convex, so noise adds to it;
    the reduction is published only where the load before is above the limit of
    detection, like every reduction. An optical number: it is no mass per area.

    Outputs: the mean (reducible); ``capped_pct``, the share of the pixels in
    cells that were cut. NaN without an observable pixel.

    Parameters
    ----------
    opacity
        The plane of ``unmix``.
    """
    box = snug(where, at, BLOCK)
    here = box.within(at)
    where = where[here]
    cells, cut, _ = cell_sums(where, box, frame, opacity[here])
    total, capped = _density(cells)
    return {
        "pixels": count(int(np.count_nonzero(where))),
        "density": count(total),
        "capped": count(capped),
        **cut,
    }
