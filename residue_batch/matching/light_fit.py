"""The light of a shot against the light of the reference: per-channel gain times a smooth field.

Model of a pixel, in linear light, with the board's own colour B and the colour W of residue::

    log I_c = gain_c + field(x, y) + log(B_c + a (W_c - B_c)) + k Laplace(B_c) / B_c

The field is a quadratic common to the channels (vignetting, a lamp to one side); k is half the
difference in blur (variance, px^2) between shot and reference. Residue covers much of the board
and only ever brightens it, so the opacity ``a`` must be told from exposure: exposure scales all
pixels alike, residue brightens the dark ones most. That contrast is there in every small piece of
board. So the opacity is fitted *per window* of 64 px, together with gain, field and blur; what
differs inside a window loses its weight (Tukey). A window is clean or filmed by a two-part prior
(``_clean``), which puts the zero at the lower edge of the windows' opacities, where clean ones
pile up. The declared white patch has a known colour: where neither photograph clips it, its ratio
starts the fit and holds gain and field there, so that an even film over the whole board is film
and not exposure. Only gain, field and blur are taken out of the image; film stays in it.

An even film over the whole board can still pass in part for a field, because nothing there is clean. So
where the field is small the shot is fitted without one too (`fit_lights`), and the shots of a board
decide together whether they ask for a field at all (`lights`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from residue_batch import kernels
from residue_batch.errors import Refusal
from residue_batch.laps import lapped
from residue_batch.matching.light import Light
from residue_batch.matching.samples import REMEDY, Fixed, Samples, darkest

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

_MIN_SAMPLES = 500
DARK = 0.002  # linear light below which code values are too coarse for a logarithm
NOISE = 0.015  # scale of the misfit, in log light ...
SPECKLE = 0.004  # ... plus this opacity: the residue of a clean-looking window is not quite even
UNEVEN = 0.2  # ... plus this share of the window's film
TUKEY = 4.685
_STEPS = (3.0, 2.0, 1.5, 1.2, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)  # how far the misfit is widened
_LATE = 6  # steps whose mean is the solution; as many again lead from a light with a field to one without
_SMALL = 0.1  # log light from end to end of the board: a field beyond that is a lamp, not film
_HELD = 0.02  # weight of the white patch, as a share of all pixels together
_TOLD = 0.01  # log light: a gain without a field that is further than this from the white patch starts there instead
_FILM = 0.05  # mean opacity of a filmed window, a priori


@lapped("light")
def fit_light(samples: Samples, white: F32, *, white_assumed: bool = False) -> Light:
    """Gain, field, blur and film of a shot, by robust least squares (see the top of this module).

    Parameters
    ----------
    samples
        From `sample_light`.
    white
        (C,) float32: the colour of residue under the light of the reference.
    white_assumed
        There is no declared patch.

    Raises
    ------
    Refusal
        ``light``: too few usable pixels, or no consistent light.
    """
    problem = _problem(samples, white)
    found = _found(problem, _first(problem), _STEPS)
    return _light(problem, found, confounded=white_assumed)


@lapped("light")
def fit_lights(samples: Samples, white: F32, *, white_assumed: bool = False) -> tuple[Light, Light | None]:
    """The light of a shot as `fit_light` finds it, and without a field; None where the field is not small."""
    problem = _problem(samples, white)
    found = _found(problem, _first(problem), _STEPS)
    light = _light(problem, found, confounded=white_assumed)
    field = np.einsum("mk,k->m", problem.centre, found.solved[problem.channels : -1])
    if not np.ptp(field) < _SMALL:
        return light, None
    even = _found(problem, _without_field(problem, found, field), (1.0,) * _LATE, even=True)
    sound = bool(np.isfinite(even.solved).all())
    return light, _light(problem, even, confounded=white_assumed) if sound else None


@dataclass(frozen=True)
class _Problem:
    """What is fitted: the usable pixels, sorted by window, and what is known of them beforehand; channels first."""

    ratio: F64
    contrast: F64
    bend: F64
    terms: F64
    starts: NDArray[np.intp]
    count: NDArray[np.intp]
    centre: F64
    fixed: Fixed | None
    shape: tuple[int, int]

    @property
    def channels(self) -> int:
        return len(self.ratio)


class _State(NamedTuple):
    """(log gains, field, half the extra blur), and for each window its film and how clean it is held to be."""

    solved: F64
    film: F64
    clean: F64


class _Found(NamedTuple):
    """A solution, the state of the last step and the weights and misfits it was made with."""

    solved: F64
    state: _State
    weight: F64
    rest: F64


def _problem(samples: Samples, white: F32) -> _Problem:
    keep = (darkest(samples.image) > DARK / 2) & (darkest(samples.reference) > DARK)
    if int(keep.sum()) < _MIN_SAMPLES:
        raise Refusal("light", f"{int(keep.sum())} pixels can be used for matching the light", REMEDY)
    window = np.repeat(np.arange(len(samples.starts)), np.diff([*samples.starts, len(keep)]))[keep]
    starts = np.flatnonzero(np.diff(window, prepend=-1))
    count = np.diff([*starts, len(window)])
    image, base, bend = (
        np.ascontiguousarray(v[keep].T, np.float64) for v in (samples.image, samples.reference, samples.bend)
    )
    x, y = samples.place[keep].T
    terms = np.stack([x, y, x * x, x * y, y * y])
    return _Problem(
        ratio=np.log(image) - np.log(base),
        contrast=np.asarray(white, np.float64)[:, None] / base - 1.0,
        bend=bend / base,
        terms=terms,
        starts=starts,
        count=count,
        centre=(np.add.reduceat(terms, starts, axis=1) / count).T.copy(),
        fixed=samples.fixed,
        shape=samples.shape,
    )


def _first(problem: _Problem) -> _State:
    """Where the fit starts: the gains of the pixels that film hardly changes, and what the white patch says of them."""
    solved = np.zeros(problem.channels + 6)
    depth = np.minimum(problem.contrast, 40.0).mean(0)
    gains = np.array([_mode(v) for v in problem.ratio[:, depth <= np.quantile(depth, 0.6)]])
    solved[: problem.channels] = _told(problem.fixed, gains)
    return _filmed(problem, solved)


def _without_field(problem: _Problem, found: _Found, field: F64) -> _State:
    """Where the fit without a field starts: what was found, its mean field in the gains.

    A film that passed for a field is still missing there. Where the patch contradicts, it starts from the patch.
    """
    solved = np.concatenate([found.state.solved[:-6] + np.average(field, weights=problem.count), np.zeros(6)])
    solved[-1] = found.state.solved[-1]
    told = _told(problem.fixed, solved[:-6])
    if abs(float((told - solved[:-6]).mean())) < _TOLD:
        return found.state._replace(solved=solved)
    solved[:-6] = told
    return _filmed(problem, solved)


def _told(fixed: Fixed | None, gains: F64) -> F64:
    """Log gains as the white patch says; channels that it does not know go along with those it does."""
    if fixed is None:
        return gains
    offset = float((fixed.ratio - gains)[fixed.known].mean())
    return np.where(fixed.known, fixed.ratio, gains + offset)


def _filmed(problem: _Problem, solved: F64) -> _State:
    window = np.repeat(np.arange(len(problem.count)), problem.count)
    film = _first_film(problem.ratio - solved[: problem.channels, None], problem.contrast, window, problem.count)
    return _State(solved, film, np.zeros(0))


def _found(problem: _Problem, state: _State, steps: Sequence[float], *, even: bool = False) -> _Found:
    """The solution after some steps; ``even``: the field stays as it is."""
    held, late = _held(problem.fixed, problem.channels), []
    weight, rest = np.zeros(0), np.zeros(0)
    for widen in steps:
        film = np.maximum(state.film, -0.002)
        weight, rest, sums = kernels.light_sums(
            problem.ratio,
            problem.contrast,
            problem.bend,
            problem.terms,
            problem.starts,
            state.solved,
            film,
            widen,
            NOISE,
            SPECKLE,
            UNEVEN,
            TUKEY,
        )
        state = _step(state._replace(film=film), problem.centre, sums, held, widen, even=even)
        late.append(state.solved)
    # where few windows are clean the last steps swing around the solution: their mean is taken
    return _Found(np.mean(late[-_LATE:], axis=0), state, weight, rest)


def _light(problem: _Problem, found: _Found, *, confounded: bool) -> Light:
    channels, solved = problem.channels, found.solved
    if not np.isfinite(solved).all():
        raise Refusal("light", "no gain and field explain the light of the shot", REMEDY)
    used, trust = found.weight.min(0) > 0.5, np.clip(found.weight, 0.0, 1.0)
    return Light(
        gain=tuple(float(v) for v in np.exp(solved[:channels])),
        field=tuple(float(v) for v in solved[channels : channels + 5]),
        extra_blur=2.0 * float(solved[-1]),
        film=float(np.average(np.maximum(found.state.film, 0.0), weights=problem.count)),
        clean_share=float(np.average(found.state.clean, weights=problem.count)),
        residual=1.4826 * float(np.median(np.abs(found.rest[:, used]))) if used.any() else float("nan"),
        samples=int(used.sum()),
        share=float(used.mean()),
        film_confounded=confounded or channels == 1,
        shape=problem.shape,
        misfit=1.0 - float((trust * np.sqrt(trust)).mean()),  # Tukey's loss
    )


def _step(state: _State, centre: F64, sums: F64, held: tuple[F64, F64], widen: float, *, even: bool = False) -> _State:
    """One Gauss-Newton step for (gain, field, blur), every window's film eliminated first (Schur complement).

    ``sums`` (9, m, C) are those of ``kernels.light_sums``: of the weight times 1, rest, slope, edge and their products,
    with the misfit ``rest``, its derivative ``slope`` by the window's film and ``edge`` by blur. The field's terms are
    taken at the centre of the window in the derivative (not in the misfit), so all sums are per window. No BLAS: its
    sums depend on the number of threads.
    """
    solved, film, clean = state
    w, by_rest, by_slope, by_edge = sums[:4]
    slope_slope, slope_rest, edge_edge, edge_rest, edge_slope = sums[4:].sum(2)
    channels = w.shape[1]

    def by_parameter(values: F64) -> F64:
        """(m, C + 5) of (m, C): a window's gain is a channel's own, its field is common to the channels."""
        return np.concatenate([values, values.sum(1)[:, None] * centre], 1)

    size = channels + 6
    normal, right = np.zeros((size, size)), np.zeros(size)
    normal[:channels, :channels] = np.diag(w.sum(0))
    normal[:channels, channels:-1] = np.einsum("mc,mk->ck", w, centre)
    normal[channels:-1, :channels] = normal[:channels, channels:-1].T
    normal[channels:-1, channels:-1] = np.einsum("mk,ml->kl", w.sum(1)[:, None] * centre, centre)
    normal[-1, :-1] = normal[:-1, -1] = by_parameter(by_edge).sum(0)
    normal[-1, -1] = edge_edge.sum() + 1e-3 * w.sum()  # without edges: no blur
    right[:-1], right[-1] = by_parameter(by_rest).sum(0), edge_rest.sum()
    rows, ratio = held
    normal += w.sum() * np.einsum("ck,cl->kl", rows, rows)
    right += w.sum() * np.einsum("ck,c->k", rows, ratio - np.einsum("ck,k->c", rows, solved))
    cross = np.concatenate([by_parameter(by_slope), edge_slope[:, None]], 1)
    power, pull, mass = slope_slope + 1e-9, slope_rest, w.sum(1) + 1e-9

    found = _clean(film + pull / power, np.sqrt(power / mass), mass > 5.0, widen)
    # half the last belief is kept: what is clean and how even "clean" is can swing against each other for ever
    clean = 0.5 * (clean + found) if clean.size else found
    prior = power * clean / (1.0 - clean)  # a window believed clean is held at zero that firmly
    inverse, pull = 1.0 / (power + prior), pull - prior * film
    normal -= np.einsum("mk,ml->kl", cross * inverse[:, None], cross)
    right -= np.einsum("mk,m->k", cross, pull * inverse)
    normal += 1e-9 * np.trace(normal) * np.eye(size)
    free = np.r_[:channels, size - 1] if even else np.arange(size)
    change = np.zeros(size)
    change[free] = np.linalg.solve(normal[np.ix_(free, free)], right[free])
    return _State(solved + change, film + (pull - np.einsum("mk,k->m", cross, change)) * inverse, clean)


def _held(fixed: Fixed | None, channels: int) -> tuple[F64, F64]:
    """(rows, right sides) of the equations that the white patch adds, weighted: as many as it has known channels."""
    if fixed is None:
        return np.zeros((0, channels + 6)), np.zeros(0)
    x, y = fixed.place
    rows = np.concatenate([np.eye(channels), np.tile([x, y, x * x, x * y, y * y, 0.0], (channels, 1))], 1)
    root = math.sqrt(_HELD)
    return root * rows[fixed.known], root * fixed.ratio[fixed.known]


def _clean(film: F64, unit: F64, live: Mask, widen: float) -> F64:
    """Probability that a window is clean: opacity N(0, tau) against exponential with mean `_FILM`, even odds.

    ``unit`` turns opacity into log light. tau is learnt from the windows that came out below
    zero, which only noise can do.
    """
    below = live & (film < 0)
    tau = 1.4826 * float(np.median(-(film * unit)[below])) if below.sum() > 5 else 0.02
    spread = min(max(tau, 0.002), 0.03) * max(1.0, 0.7 * widen) / unit
    bare = np.exp(-0.5 * np.square(film / spread)) / (spread * math.sqrt(2 * math.pi))
    z = film / spread - spread / _FILM
    filmed = np.exp(np.clip(0.5 * np.square(spread / _FILM) - film / _FILM, -700.0, 50.0)) / _FILM
    filmed *= kernels.normal_below(z)
    found = np.where(film < -3.0 * spread, 1.0, bare / (bare + filmed + 1e-300))
    return np.clip(found, 0.0, 0.999)


def _first_film(ratio: F64, contrast: F64, window: NDArray[np.intp], count: NDArray[np.intp]) -> F64:
    """Per window a low quantile of the pixels' opacities under the first gain, at least 0."""
    # A pixel as white as residue says nothing of opacity: its contrast is kept off zero.
    opacity = (np.expm1(np.clip(ratio, -5.0, 5.0)) * contrast).sum(0) / np.maximum(np.square(contrast).sum(0), 1e-3)
    order = np.lexsort((opacity, window))
    first = np.cumsum(count) - count
    low = opacity[order][first + (0.4 * count).astype(np.intp)]
    return np.asarray(np.maximum(low, 0.0))


def _mode(values: F64) -> float:
    """The most frequent value, from a smoothed histogram: residue only pushes upwards, so not the median."""
    low, high = np.quantile(values, [0.01, 0.99])
    edges = np.arange(low - 0.1, high + 0.12, 0.01)
    smooth = np.convolve(np.histogram(values, edges)[0].astype(np.float64), np.hanning(9), mode="same")
    return float(edges[int(smooth.argmax())] + 0.005)
