"""Thresholds: a scalar plane becomes a mask."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from pydantic import Field

from residue_batch import kernels
from residue_batch.step import AnyPlane, Array, Fit, Mask, ParameterError, Plane, step
from residue_batch.tally import Tally

_FINE = 65536
"""Bins in which tiles count; those of the fit are laid over them between the smallest and the largest value."""
_GROUP = 1024
"""Bins that stand under one name of a tally; empty groups are left out."""


@step(version=1, examples=({"level": 0.05}, {"level": -0.1}))
def threshold(plane: AnyPlane, *, level: float) -> Mask:
    """Pixels strictly above a fixed level.

        residue: {step: threshold, of: opacity, level: 0.05}

    ``mask = plane > level``. A pixel that is not a number is never above. The
    level is the same for both phases by construction: a level fitted to each
    shot invents residue on a clean board.

    Parameters
    ----------
    plane
        Any scalar plane.
    level
        In the unit of the plane (opacity: 1 = fully covered), compared in float32.
    """
    return kernels.above(plane, level)


def _chunk(plane: Plane, *, where: Mask, low: float, high: float) -> Tally:
    """How often each value occurs, in fine bins from ``low`` to ``high``; what lies beyond counts at the ends."""
    counts, missing = kernels.histogram(plane, where.view(np.uint8), low, (_FINE - 1) / (high - low), _FINE)
    if missing:
        raise FloatingPointError(f"{missing} values are no number")
    groups = counts.reshape(-1, _GROUP)
    return {str(index): groups[index] for index in np.flatnonzero(groups.any(axis=1)).tolist()}


def _decide(tally: Tally, *, low: float, high: float, bins: int) -> float:
    """The level between two classes of the merged histogram; infinite without a pixel, or with one value only."""
    counts = np.zeros((_FINE // _GROUP, _GROUP), np.int64)
    for index, group in tally.items():
        counts[int(index)] = group
    (found,) = np.nonzero(counts.ravel())
    if not len(found):
        return math.inf
    values = low + found * ((high - low) / (_FINE - 1))
    first, last = float(values[0]), float(values[-1])
    if first == last:
        return math.inf  # one value has no two classes
    place = np.minimum((values - first) * (bins / (last - first)), bins - 1).astype(np.intp)
    histogram = np.bincount(place, counts.ravel()[found], bins)
    edges = np.linspace(first, last, bins + 1)
    return otsu_level(histogram, (edges[:-1] + edges[1:]) / 2)


def otsu_level(counts: Array, centres: Array) -> float:
    """The centre after which two classes of a histogram differ most: the largest variance between them (Otsu 1979)."""
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    moments = counts * centres
    mean_below = np.cumsum(moments) / np.maximum(below, 1)
    mean_above = np.cumsum(moments[::-1])[::-1] / np.maximum(above, 1)
    between = below[:-1] * above[1:] * np.square(mean_below[:-1] - mean_above[1:])
    return float(centres[int(np.argmax(between))])


def _check(low: float, high: float) -> None:
    if not low < high:
        raise ParameterError((("high", f"the range {low:g} .. {high:g} is empty"),))


@step(
    version=2,
    fit=Fit("otsu_level", _chunk, _decide),
    check=_check,
    examples=({}, {"low": -2.0, "high": 4.0, "bins": 256}),
)
def otsu(
    plane: Plane,
    *,
    fitted: float,
    low: float = -1.0,  # noqa: ARG001  only the fit reads it
    high: float = 1.0,  # noqa: ARG001  only the fit reads it
    bins: Annotated[int, Field(ge=2, le=4096)] = 1024,  # noqa: ARG001  only the fit reads it
) -> Mask:
    """Pixels strictly above the level that splits a histogram best in two.

        spots: {step: otsu, of: local, fit_on: before}

    A fitted step. Fit: the histogram of the valid pixels of the whole board,
    merged over its tiles in 65536 bins of the range and laid into ``bins`` bins
    between its smallest and its largest value; the level is the centre of the bin
    after which the variance between the two classes is largest (Otsu 1979).
    With ``fit_on: before`` the level of the uncleaned shot serves both: a level
    of its own would find residue on a clean board too. Nothing is above where
    no pixel counts, or where all have one value.

    Parameters
    ----------
    plane
        Any scalar plane.
    low, high
        The range in which values are told apart; those beyond count at its ends. A
        65536th of it is the resolution.
    bins
        Bins of the histogram, 2 to 4096.
    """
    return kernels.above(plane, fitted)
