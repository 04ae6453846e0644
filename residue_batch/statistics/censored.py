"""Percentiles of boards, some of which only say "at least x".

A board after which less is left than a blank shows has a reduction of at least its bound: its number is
censored on the right. The distribution of all is then that of Kaplan & Meier (1958), here by redistribution to the
right (Efron 1967): a censored board gives its weight, in equal parts, to the boards above its bound. The
largest value keeps its weight even if it is a bound; a percentile that falls there is a bound itself.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Percentile(NamedTuple):
    """A percentile; ``at_least`` when the true one may be larger."""

    value: float
    at_least: bool


def percentile(values: Floats, censored: Bools, percent: float) -> Percentile:
    """The percentile of values, of which some are lower bounds.

    Between two values it is interpolated so that without censoring it is ``numpy.percentile``.

    Parameters
    ----------
    values
        (n,): numbers, or their lower bounds; finite.
    censored
        (n,): which are bounds.
    percent
        0 .. 100.
    """
    if not values.size:
        return Percentile(math.nan, at_least=False)
    order = np.lexsort((censored, values))  # of equal values the bounds come last: what is there was seen
    ranked, bound = values[order], censored[order]
    count = len(ranked)
    weight = np.full(count, 1.0 / count)
    for i in np.flatnonzero(bound[:-1]):
        weight[i + 1 :] += weight[i] / (count - 1 - i)
        weight[i] = 0.0
    kept = weight > 0
    ranked, weight, bound = ranked[kept], weight[kept], bound[kept]
    if len(ranked) == 1:
        return Percentile(float(ranked[0]), bool(bound[0]))
    below = np.cumsum(weight) - weight
    place = below * count / (count - 1)
    value = float(np.interp(percent / 100, place, ranked))
    return Percentile(value, bool(bound[-1]) and bool(percent / 100 > place[-2]))
