"""Cover: how much of the surface a mask takes, and how much of a plane lies in it."""

from __future__ import annotations

import math

import numpy as np

from residue_batch import kernels
from residue_batch.measure import Output, measure
from residue_batch.step import Mask, Plane
from residue_batch.tally import CEILING, ONE, Tally


def _finalize(tally: Tally) -> dict[str, float]:
    pixels, inside, total = (int(value) for value in tally["sums"])
    if not pixels:
        return {"": math.nan, "load": math.nan}
    return {"": inside / pixels, "load": total / (pixels * ONE)}


@measure(
    version=1,
    outputs=(
        Output("", "1", "share of pixels in the mask", reducible=True),
        Output("load", "1", "mean of the plane where the mask is, 0 elsewhere", reducible=True),
    ),
    finalize=_finalize,
)
def cover(mask: Mask, plane: Plane, *, where: Mask) -> Tally:
    """The share of the observable pixels that a mask takes, and the mean of a plane inside it.

        found: {measure: cover, of: [particles, local]}

    For masks that a workflow draws itself, where ``area`` and ``load`` take an opacity as it is.
    Outputs: the share ``n(mask) / n`` (reducible); ``load``, the plane summed over the mask,
    divided by all pixels (reducible; summed exactly as ``round(a x 16384)``, values
    beyond +-1.99 are clipped). NaN without an observable pixel.

    Parameters
    ----------
    mask
        What was found.
    plane
        How much of it there is: any scalar plane of shares.
    """
    sums, missing = kernels.cover_sums(mask.view(np.uint8), plane, where.view(np.uint8), ONE, CEILING)
    if missing:
        raise FloatingPointError(f"{missing} values are no number")
    return {"sums": sums}
