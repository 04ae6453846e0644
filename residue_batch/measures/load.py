"""Load: the mean opacity, the primary number."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from residue_batch import kernels
from residue_batch.measure import Output, measure
from residue_batch.step import Array, Mask, Plane
from residue_batch.tally import CEILING, ONE, Tally


def noise(tally: Mapping[str, Array]) -> float:
    """Standard deviation of opacity on a clean surface; NaN where nothing is negative.

    Residue only adds, so below zero there is noise alone; for noise that is
    symmetric about zero the mean square of that half is its variance.
    """
    number = int(tally["negative"])
    return math.sqrt(int(tally["negative_squares"]) / number) / ONE if number else math.nan


def _finalize(tally: Tally) -> dict[str, float]:
    pixels, positive = int(tally["pixels"]), int(tally["positive"])
    if not pixels:
        return dict.fromkeys(("", "saturated_pct", "clipped_pct", "noise"), math.nan)
    return {
        "": int(tally["sum"]) / (pixels * ONE),
        "saturated_pct": 100 * int(tally["saturated"]) / positive if positive else 0.0,
        "clipped_pct": 100 * int(tally["clipped"]) / pixels,
        "noise": noise(tally),
    }


@measure(
    version=1,
    outputs=(
        Output("", "1", "mean opacity", reducible=True),
        Output("saturated_pct", "%", "share of the load from saturated pixels"),
        Output("clipped_pct", "%", "share of pixels with an opacity beyond 1.99"),
        Output("noise", "1", "noise of opacity, standard deviation"),
    ),
    finalize=_finalize,
)
def load(opacity: Plane, saturated: Mask, *, where: Mask) -> Tally:
    """Mean opacity over the observable pixels: how much residue there is.

        load: {measure: load, of: opacity}

    The plain mean of *signed* opacity, no weights, summed exactly as
    ``round(a x 16384)`` (values beyond +-1.99 are clipped, and counted).

    Outputs: the mean (reducible); ``saturated_pct``, the share of the positive
    opacity that lies on saturated pixels, where opacity is a lower bound;
    ``clipped_pct``, the share of pixels that were clipped; ``noise``, the standard
    deviation of opacity on clean surface, from the negative half:
    ``sqrt(sum a^2 / n)`` over ``a < 0``. NaN without an observable pixel.

    Parameters
    ----------
    opacity
        The plane of ``unmix``, or any plane of shares.
    saturated
        Pixels that are saturated in the shot (built in).
    """
    mask, full = where.view(np.uint8), saturated.view(np.uint8)
    sums, missing = kernels.opacity_sums(opacity, mask, full, ONE, CEILING)
    if missing:
        raise FloatingPointError(f"{missing} opacities are no number")
    names = ("pixels", "sum", "positive", "saturated", "clipped", "negative", "negative_squares")
    return {name: np.asarray(value) for name, value in zip(names, sums, strict=True)}
