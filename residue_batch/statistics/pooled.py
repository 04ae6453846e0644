"""The two intervals of a lot's pooled reduction, from what its boards say of their errors."""

from __future__ import annotations

import hashlib
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from residue_batch.intervals import COMPONENTS

Floats = NDArray[np.float64]

DRAWS = 1000
FEWEST = 3
"""Fewer boards than this say nothing about how boards differ."""
_ENDS = (2.5, 97.5)


class Boards(NamedTuple):
    """The boards of a lot that have a reduction, in the order of their names; all (n,) but ``errors``."""

    pixels: Floats
    before: Floats
    after: Floats
    errors: Floats
    """(n, 8): `intervals.COMPONENTS`."""
    below: Floats
    above: Floats
    """How far the measurement interval reaches below and above the reduction, for boards without a clean
    reference; 0 for the others."""

    def error(self, name: str) -> Floats:
        return np.asarray(self.errors[:, COMPONENTS.index(name)])


def measurement(boards: Boards) -> tuple[float, float]:
    """95 % interval of the pooled reduction by the errors of measurement.

    Linear: the light of each board errs by itself, the colour of residue errs for all boards alike, and what
    pairs without a clean reference cannot see goes the same way on all boards, so it is not averaged.
    """
    total = math.fsum(boards.pixels * boards.before)
    if not total > 0 or not np.isfinite(boards.errors[:, :5]).all():
        return math.nan, math.nan
    rest = math.fsum(boards.pixels * boards.after) / total
    own = boards.error("measurement_after") + rest**2 * boards.error("measurement_before")
    own -= 2 * rest * boards.error("measurement_covariance")
    variance = math.fsum(np.square(boards.pixels) * own)
    variance += math.fsum(boards.pixels * (boards.error("white_after") - rest * boards.error("white_before"))) ** 2
    half = 1.96 * 100 * math.sqrt(max(variance, 0.0)) / total
    weight, estimate = boards.pixels * boards.before / total, 100 * (1 - rest)
    sides = [math.hypot(half, math.fsum(weight * side)) for side in (boards.below, boards.above)]
    return estimate - sides[0], estimate + sides[1]


def sampling(boards: Boards, name: str) -> tuple[float, float]:
    """95 % interval of the pooled reduction if other boards of the process had been taken.

    A bootstrap in two steps (Davison & Hinkley 1997, 3.8): boards are drawn again, then the blocks of each, whose
    sums are taken as normal with the covariance that the board's own blocks have. ``name`` seeds it.
    """
    count = len(boards.pixels)
    if count < FEWEST:
        return math.nan, math.nan
    random = np.random.default_rng(int(hashlib.sha256(name.encode()).hexdigest()[:16], 16))
    drawn = random.multinomial(count, np.full(count, 1 / count), size=DRAWS).astype(np.float64)
    within = [np.nan_to_num(boards.error(f"sampling_{part}")) for part in ("before", "covariance", "after")]
    sums = [boards.pixels * boards.before, boards.pixels * boards.after]
    sums += [np.square(boards.pixels) * variance for variance in within]
    # einsum, not @: BLAS sums depend on the number of threads
    before, after, own, both, other = np.einsum("dn,kn->kd", drawn, np.stack(sums))
    z = random.standard_normal((2, DRAWS))
    spread = np.sqrt(np.maximum(own, 1e-30))
    before = before + spread * z[0]
    after = after + both / spread * z[0] + np.sqrt(np.maximum(other - np.square(both / spread), 0.0)) * z[1]
    if (before <= 0).mean() > 0.025:
        return math.nan, math.nan
    low, high = np.percentile(100 * (1 - after / np.where(before > 0, before, math.inf)), _ENDS)
    return float(low), float(high)
