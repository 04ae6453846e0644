"""Limits of blank and of detection from repeated readings, after CLSI EP17-A2.

    LoB = 95th percentile of the readings of blanks
    LoD = LoB + c sd of the readings of low samples,   c = 1.645 / (1 - 1 / (4 df))

With fewer than 20 readings LoB = mean + c sd. ``c`` is the 95th percentile of
the normal distribution with the correction for the small-sample bias of a
standard deviation, and ``df`` counts readings minus samples.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Literal

import numpy as np

Method = Literal["percentile", "normal"]

ENOUGH = 20
"""Readings from which on the 95th percentile itself is taken."""
Z95 = 1.645


def factor(df: int) -> float:
    """1.645, corrected for a standard deviation of ``df`` degrees of freedom."""
    if df < 1:
        raise ValueError(f"a standard deviation of {df} degrees of freedom says nothing")
    return Z95 / (1 - 1 / (4 * df))


def limit_of_blank(readings: Sequence[float], samples: int) -> tuple[float, Method]:
    """The load that 95 % of blanks stay below, and how it was found.

    Parameters
    ----------
    readings
        Loads of clean boards, all shots.
    samples
        How many boards they are of.
    """
    if len(readings) >= ENOUGH:
        # rank 0.5 + 0.95 n, between neighbours in proportion
        return float(np.quantile(np.asarray(readings, np.float64), 0.95, method="hazen")), "percentile"
    spread = statistics.stdev(readings)
    return statistics.fmean(readings) + factor(len(readings) - samples) * spread, "normal"


def repeatability(pairs: Sequence[tuple[float, float]]) -> float:
    """Standard deviation of one reading, pooled over samples that were each read twice."""
    return math.sqrt(statistics.fmean((a - b) ** 2 / 2 for a, b in pairs))


def limit_of_detection(lob: float, sd: float, df: int) -> float:
    """The load that is told from a blank in 95 % of cases."""
    return lob + factor(df) * sd
