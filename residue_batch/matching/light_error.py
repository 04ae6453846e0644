"""How uncertain a matched light is: the covariance of gain, field and blur.

The light of a shot is fitted together with the film of every window (`light`). What the fit cannot
tell is not noise but whether windows that look clean are clean, and how film varies inside them:
errors that neighbouring windows share. From one linearisation at the solution, with the film of each
window eliminated, come two parts:

* the spread over clusters of windows, a sandwich estimator (Liang & Zeger 1986): ``N^-1 (sum_g s_g s_g') N^-1``
  with ``N`` the normal matrix and ``s_g`` the sum of the scores of the windows of cluster g;
* how far the light moves when no window is believed to be clean, so that contrast alone decides. Both shots of a
  board show much the same windows, so they move together.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from residue_batch.laps import lapped
from residue_batch.matching.light import Light
from residue_batch.matching.light_fit import DARK, NOISE, SPECKLE, TUKEY, UNEVEN
from residue_batch.matching.samples import Samples, darkest

F64 = NDArray[np.float64]

WINDOWS = 0.6
"""The spread over clusters, to that of fits to the same board (calibrated on pairs of known truth)."""
BELIEF = 0.65
"""The difference between the fits with and without the belief, to one standard deviation (likewise)."""
CONFOUNDED = 0.005
"""Opacity: a board-wide film that is known no better than this is confounded with exposure."""

_THIN = 4  # every fourth sample is enough: neighbours share their errors
_CLUSTERS = 6  # per side of the frame
_EVEN = 0.004  # opacity: how even "clean" is


@lapped("light")
def with_error(samples: Samples, white: NDArray[np.float32], light: Light) -> Light:
    """A light with its covariance, and whether contrast alone tells film from exposure.

    Parameters
    ----------
    samples, white
        What the light was fitted to.
    light
        The solution.

    Returns
    -------
    The same light with ``covariance``; it is ``film_confounded`` where an even film over the board is known from
    the contrast inside the windows to no better than `CONFOUNDED` (one standard deviation). Where no white patch
    holds the light, because there is none or because it is clipped or uneven, also where contrast alone finds that
    much more or less film than the fit, which may have taken the film of a board without a clean place for exposure.
    """
    keep = np.flatnonzero((darkest(samples.image) > DARK / 2) & (darkest(samples.reference) > DARK))[::_THIN]
    window = np.searchsorted(samples.starts, keep, side="right") - 1
    starts = np.flatnonzero(np.diff(window, prepend=-1))
    if len(starts) < _CLUSTERS:
        return replace(light, film_confounded=True)
    count = np.diff([*starts, len(window)])
    group = np.repeat(np.arange(len(starts)), count)
    base = samples.reference[keep].astype(np.float64)
    x, y = samples.place[keep].T
    terms = np.stack([x, y, x * x, x * y, y * y], 1)
    field = np.einsum("nk,k->n", terms, np.array(light.field))
    rest = np.log(samples.image[keep].astype(np.float64) / base) - field[:, None] - np.log(light.gain)
    span = np.asarray(white, np.float64) - base
    bend = samples.bend[keep].astype(np.float64) / base
    weight, left, slope, edge, film = _films(rest, span / base, bend, light.extra_blur / 2.0, starts, group)
    place = np.add.reduceat(terms, starts) / count[:, None]
    fit = _normal(weight, left, slope, edge, place, starts)

    mass = fit.mass / fit.power
    likeness = np.exp(-0.5 * np.square(np.maximum(film, 0.0) / np.maximum(_EVEN, 0.01 * np.sqrt(mass))))
    clean = np.minimum(likeness, 0.999)
    normal, score = fit.without_film(film, fit.power * clean / (1.0 - clean))
    cluster = _cluster(place)
    covariance, step = _sandwich(normal, score, cluster)
    gain = (base * span / np.maximum(np.square(span).sum(1), 1e-3)[:, None]).mean(0)
    # nothing believed clean: what contrast alone says about an even change of all gains, as film
    alone = fit.without_film(film, np.zeros(len(film)))
    other = _sandwich(*alone, cluster)[1]
    even = _even_film(alone[0], gain, len(base) / len(film))
    overlooked = abs(float((gain * (other - step)[: len(gain)]).sum()))
    known = even < CONFOUNDED and (samples.fixed is not None or overlooked < CONFOUNDED)
    found = WINDOWS**2 * covariance, BELIEF * (other - step)
    finite = all(bool(np.isfinite(values).all()) for values in found)
    flat = [tuple(float(f"{v:.9g}") for v in values.ravel()) if finite else () for values in found]
    return replace(
        light,
        covariance=flat[0],
        belief=flat[1],
        film_confounded=not known,
    )


def _even_film(normal: F64, gain: F64, samples: float) -> float:
    """How well contrast alone knows an even film, as opacity: one misfit of `NOISE` for each window of ``samples``.

    The misfits of a window are of one piece (a part that is slightly off), so they count once.
    """
    size = len(normal)
    try:
        inverse = np.linalg.inv(normal + 1e-9 * np.trace(normal) * np.eye(size))
    except np.linalg.LinAlgError:
        return math.nan
    variance = float(np.einsum("c,cd,d->", gain, inverse[: len(gain), : len(gain)], gain))
    return NOISE * math.sqrt(max(variance, 0.0) * samples)


class _Normal(NamedTuple):
    """The linearised fit, per window: sums over its pixels."""

    normal: F64
    cross: F64
    score: F64
    power: F64
    mass: F64

    def without_film(self, film: F64, prior: F64) -> tuple[F64, F64]:
        """(normal matrix, scores of the windows) with each window's film eliminated."""
        inverse = 1.0 / (self.power + prior)
        normal = self.normal - np.einsum("mk,ml,m->kl", self.cross, self.cross, inverse)
        return normal, self.score + self.cross * (prior * film * inverse)[:, None]


def _normal(weight: F64, left: F64, slope: F64, edge: F64, place: F64, starts: NDArray[np.intp]) -> _Normal:
    def total(values: F64) -> F64:
        return np.asarray(np.add.reduceat(values, starts), np.float64)

    channels = weight.shape[1]
    w, by_edge = total(weight), total(weight * edge)
    design = np.concatenate([np.eye(channels)[None].repeat(len(w), 0), place[:, None, :].repeat(channels, 1)], 2)
    normal = np.zeros((channels + 6, channels + 6))
    normal[:-1, :-1] = np.einsum("mc,mck,mcl->kl", w, design, design)
    normal[-1, :-1] = normal[:-1, -1] = np.einsum("mc,mck->k", by_edge, design)
    normal[-1, -1] = total(weight * edge * edge).sum() + 1e-3 * w.sum()
    cross, score = (
        np.concatenate([np.einsum("mc,mck->mk", total(plain), design), total(bent).sum(1)[:, None]], 1)
        for plain, bent in ((weight * slope, weight * edge * slope), (weight * left, weight * edge * left))
    )
    return _Normal(normal, cross, score, total(weight * slope * slope).sum(1) + 1e-9, w.sum(1) + 1e-9)


def _sandwich(normal: F64, score: F64, cluster: NDArray[np.intp]) -> tuple[F64, F64]:
    """``N^-1 (sum_g s_g s_g') N^-1`` and the Newton step; NaN where the samples do not determine the light."""
    size = len(normal)
    sums = np.zeros((int(cluster.max()) + 1, size))
    np.add.at(sums, cluster, score - score.mean(0))
    try:
        inverse = np.linalg.inv(normal + 1e-9 * np.trace(normal) * np.eye(size))
    except np.linalg.LinAlgError:
        return np.full((size, size), math.nan), np.full(size, math.nan)
    shift = np.einsum("kl,gl->gk", inverse, sums)
    return np.einsum("gk,gl->kl", shift, shift), np.einsum("kl,l->k", inverse, score.sum(0))


def _films(
    rest: F64, contrast: F64, bend: F64, blur: float, starts: NDArray[np.intp], group: NDArray[np.intp]
) -> tuple[F64, F64, F64, F64, F64]:
    """Weights, misfits, derivatives by film and blur, and the film of each window, by Tukey's weights."""
    film = np.zeros(len(starts))
    weight = left = slope = edge = np.zeros_like(rest)
    for widen in (6.0, 3.0, 1.5, 1.0, 1.0):
        own = film[group][:, None]
        growth = np.maximum(1.0 + own * contrast, 0.2)
        slope, edge = contrast / growth, bend / growth
        left = rest - blur * edge - np.log(growth)
        spread = 1.0 + (SPECKLE + UNEVEN * np.abs(own)) * slope / NOISE
        weight = np.square(np.clip(1.0 - np.square(left / (TUKEY * widen * NOISE * spread)), 0.0, None))
        weight /= np.square(spread)
        power = np.add.reduceat(weight * slope * slope, starts).sum(1) + 1e-9
        film = np.maximum(film + np.add.reduceat(weight * slope * left, starts).sum(1) / power, -0.002)
    return weight, left, slope, edge, film


def _cluster(place: F64) -> NDArray[np.intp]:
    """The number of the cluster of each window: squares of a coarse grid over those that there are."""
    low, high = place[:, :2].min(0), place[:, :2].max(0) + 1e-9
    at = ((place[:, :2] - low) / (high - low) * _CLUSTERS).astype(np.intp)
    return np.asarray(np.minimum(at[:, 0], _CLUSTERS - 1) * _CLUSTERS + np.minimum(at[:, 1], _CLUSTERS - 1))


def opacity_errors(light: Light, leverage: F64) -> tuple[float, float]:
    """What the light of a shot leaves open of a load with these derivatives by (log gains, field terms).

    Returns
    -------
    spread
        One standard deviation, independent of other shots.
    belief
        One standard deviation of what "clean" means, signed: shots of one board share it.
    """
    size = len(light.belief)
    if size != len(leverage) + 1:
        return 0.0, 0.0
    matrix = np.array(light.covariance).reshape(size, size)[:-1, :-1]
    variance = float(np.einsum("k,kl,l->", leverage, matrix, leverage))
    # a gain that is too high makes the opacity too low
    belief = -float(np.einsum("k,k->", leverage, np.array(light.belief[:-1])))
    return math.sqrt(max(variance, 0.0)), belief
