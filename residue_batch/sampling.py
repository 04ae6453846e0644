"""How much another board of the same process could differ: paired block bootstrap over squares of 256 px.

The blocks are the units because residue is patchy: neighbouring pixels say nearly the same. The same blocks are
drawn before and after, and the statistic is a ratio of sums (Efron & Tibshirani 1993, chapters 6 and 8).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
ENDS = (2.5, 97.5)
FEWEST = 5
"""Fewer blocks than this give no interval at all."""

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


def stream(key: str, *numbers: int) -> np.random.Generator:
    """The random numbers of a board, for one purpose: the same on every machine. ``key`` is hexadecimal."""
    return np.random.default_rng([int(key[:16], 16) if key else 0, *numbers])


def sampling_interval(before: I64, after: I64, random: np.random.Generator) -> list[tuple[float, float]]:
    """95 % interval of ``100 (1 - after / before)`` when blocks are drawn again.

    Parameters
    ----------
    before, after
        (k, blocks): sums of k quantities over the same blocks, those with an observable pixel.

    Returns
    -------
    (low, high) for each quantity; NaN with fewer than `FEWEST` blocks.
    """
    count = before.shape[1]
    if count < FEWEST:
        return [(math.nan, math.nan)] * len(before)
    drawn = random.multinomial(count, np.full(count, 1 / count), size=DRAWS)
    # integer products are exact and use no BLAS, whose sums depend on the number of threads
    sums = drawn @ np.concatenate([before, after]).T
    found = []
    for b, a in zip(sums[:, : len(before)].T, sums[:, len(before) :].T, strict=True):
        sound = b > 0
        if sound.mean() < 0.975:
            found.append((math.nan, math.nan))
            continue
        found.append(ends(100 * (1 - a[sound] / b[sound])))
    return found


def ends(values: F64) -> tuple[float, float]:
    """`numpy.percentile` of (n,) values at `ENDS`, to the bit and in a quarter of its time."""
    places = [(len(values) - 1) * (percent / 100) for percent in ENDS]
    left = [math.floor(place) for place in places]
    right = [min(k + 1, len(values) - 1) for k in left]
    parted = np.partition(values, [*left, *right])
    low, high = (
        b - (b - a) * (1 - share) if share >= 0.5 else a + (b - a) * share
        for a, b, share in zip(parted[left].tolist(), parted[right].tolist(), (p % 1 for p in places), strict=True)
    )
    return low, high


def block_covariance(pixels: I64, before: I64, after: I64) -> tuple[float, float, float]:
    """(variance before, covariance, variance after) of the means over blocks; NaN with fewer than `FEWEST`.

    Of ratios of sums, linearised: ``N / (N - 1) sum (S_i - m n_i)(T_i - k n_i) / (sum n)^2``.
    """
    count, total = len(pixels), int(pixels.sum())
    if count < FEWEST or not total:
        return math.nan, math.nan, math.nan
    off = [values - (int(values.sum()) / total) * pixels for values in (before, after)]
    scale = count / (count - 1) / total**2
    return (
        math.fsum(off[0] * off[0]) * scale,
        math.fsum(off[0] * off[1]) * scale,
        math.fsum(off[1] * off[1]) * scale,
    )
