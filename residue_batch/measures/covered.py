"""Covered: how much of an area a mask takes."""

from __future__ import annotations

import math

import numpy as np

from residue_batch.measure import Output, measure
from residue_batch.step import Mask
from residue_batch.tally import Tally, count


def _finalize(tally: Tally) -> dict[str, float]:
    pixels = int(tally["pixels"])
    return {"": 100 * int(tally["covered"]) / pixels if pixels else math.nan}


@measure(version=1, outputs=(Output("", "%", "share of pixels in the mask"),), finalize=_finalize)
def covered(mask: Mask, *, where: Mask) -> Tally:
    """Share of an area that a mask takes, in per cent.

        moved_pct: {measure: covered, of: moved, where: outline}

    What is excluded is not observable: count it over ``outline``.

    Parameters
    ----------
    mask
        What is counted.
    """
    return {"pixels": count(int(np.count_nonzero(where))), "covered": count(int(np.count_nonzero(mask & where)))}
