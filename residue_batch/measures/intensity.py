"""Intensity: the distribution of any scalar plane."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from residue_batch.measure import Output, measure
from residue_batch.step import Array, Mask, ParameterError, Plane
from residue_batch.tally import Tally, count

LEVELS = 4096
"""Bins of the histogram."""

# fixed-point steps per bin: the mean is 16 times finer than the histogram
_FINE = 16
_LAST = LEVELS * _FINE - 1
_PERCENTILES = {"p05": 5, "p50": 50, "p95": 95}
_NAMES = ("mean", "sd", "min", "max", *_PERCENTILES, "outside_pct")


def _check(low: float, high: float) -> None:
    if not low < high:
        raise ParameterError((("high", f"the range {low:g} .. {high:g} is empty"),))


def _finalize(tally: Tally, low: float, high: float) -> dict[str, Any]:
    pixels = int(tally["pixels"])
    if not pixels:
        return dict.fromkeys(_NAMES, math.nan)
    unit, width = (high - low) / _LAST, (high - low) / LEVELS
    total, squares = int(tally["sum"]), int(tally["squares"])
    upto = np.cumsum(tally["histogram"])

    def middle(rank: int) -> float:
        """Middle of the bin that holds the pixel of this rank, counted from 1."""
        return low + (int(np.searchsorted(upto, rank)) + 0.5) * width

    return {
        "mean": low + total / pixels * unit,
        # exact integers: no cancellation
        "sd": math.sqrt(pixels * squares - total * total) / pixels * unit,
        "min": middle(1),
        "max": middle(pixels),
        **{name: middle(max(-(-pixels * p // 100), 1)) for name, p in _PERCENTILES.items()},
        "outside_pct": 100 * int(tally["outside"]) / pixels,
    }


def _levels(values: Array, low: float, high: float) -> Array:
    scaled = np.clip(values, np.float32(low), np.float32(high))
    scaled -= np.float32(low)
    scaled *= np.float32(_LAST / (high - low))
    np.rint(scaled, out=scaled)
    with np.errstate(invalid="raise"):
        return np.asarray(np.minimum(scaled.astype(np.int32), _LAST))


@measure(
    version=1,
    outputs=(
        Output("mean", "1", "mean", reducible=True),
        Output("sd", "1", "standard deviation"),
        Output("min", "1", "smallest value"),
        Output("max", "1", "largest value"),
        Output("p05", "1", "5th percentile"),
        Output("p50", "1", "median"),
        Output("p95", "1", "95th percentile"),
        Output("outside_pct", "%", "share of pixels outside the range"),
    ),
    finalize=_finalize,
    check=_check,
    examples=({}, {"low": -2.0, "high": 3.5}),
)
def intensity(plane: Plane, *, where: Mask, low: float = 0.0, high: float = 1.0) -> Tally:
    """Mean, spread and percentiles of a scalar plane.

        brightness: {measure: intensity, of: luminance}

    From exact integers, so it does not depend on tiles: the mean and the
    standard deviation (of all pixels, not an estimate) from sums in steps of
    1/65535 of the range; smallest, largest and the percentiles from a
    histogram of 4096 bins: the middle of the bin in which the pixel of rank
    ``ceil(p n / 100)`` lies, half a bin (1/8192 of the range) at most from its
    value. Values outside the range count as its ends, and in ``outside_pct``.

    Parameters
    ----------
    plane
        Any scalar plane; units are those of the plane.
    low, high
        The range: 0..1 suits shares; ``lab`` needs 0..100 or -128..128.
    """
    values = plane[where]
    levels = _levels(values, low, high)
    outside = np.count_nonzero(values < np.float32(low)) + np.count_nonzero(values > np.float32(high))
    wide = levels.astype(np.int64)
    return {
        "pixels": count(levels.size),
        "sum": count(int(wide.sum())),
        "squares": count(int((wide * wide).sum())),
        "histogram": np.bincount(levels // _FINE, minlength=LEVELS),
        "outside": count(int(outside)),
    }
