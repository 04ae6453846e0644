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
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from residue_batch import kernels
from residue_batch.errors import Refusal
from residue_batch.geometry import Box
from residue_batch.laps import lapped
from residue_batch.matching.flat import Shade
from residue_batch.matching.resample import FULL_SCALE, blur_weights
from residue_batch.matching.samples import REMEDY, Fixed, Samples, units_of

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U16 = NDArray[np.uint16]
Mask = NDArray[np.bool_]

LATTICE = 16  # px between the points where the light field is computed
_MIN_SAMPLES = 500
_DARK = 0.002  # linear light below which code values are too coarse for a logarithm
_NOISE = 0.015  # scale of the misfit, in log light ...
_SPECKLE = 0.004  # ... plus this opacity: the residue of a clean-looking window is not quite even
_UNEVEN = 0.2  # ... plus this share of the window's film
_TUKEY = 4.685
_LATE = 6  # steps whose mean is the solution
_HELD = 0.02  # weight of the white patch, as a share of all pixels together
_FILM = 0.05  # mean opacity of a filmed window, a priori


@dataclass(frozen=True)
class Light:
    """What the light of a shot is against the light of the reference.

    Attributes
    ----------
    gain
        Per channel, shot / reference, at the centre of the frame.
    field
        Coefficients of x, y, x^2, xy, y^2 in the log field; x and y in units of half the
        longer side of the frame, from its centre.
    extra_blur
        Variance of the blur of the shot minus that of the reference, frame px^2; see `sigma`.
    film
        Mean opacity over the windows; not divided out.
    clean_share
        Share of the windows that look clean. Near zero, the least filmed windows set the zero of opacity.
    residual
        Robust scale of what the fit leaves, in log light.
    samples, share
        Pixels that took part with at least half their weight; their share of all the pixels sampled.
    film_confounded
        An even film over the whole board cannot be told from exposure; first by grey shots and missing patches,
        then as `light_error` finds.
    shape
        Of the frame.
    covariance, belief
        Of (log gain of each channel, field, half the extra blur): the covariance, row by row, and how far they
        hang on what is believed clean (`light_error`); empty where nothing was fitted.
    common
        Residue that both shots of a pair show, per opacity by which they differ; negative where
        the after-shot has more. 0 against a clean reference.
    """

    gain: tuple[float, ...]
    field: tuple[float, ...]
    extra_blur: float
    film: float
    clean_share: float
    residual: float
    samples: int
    share: float
    film_confounded: bool
    shape: tuple[int, int]
    covariance: tuple[float, ...] = ()
    belief: tuple[float, ...] = ()
    common: float = 0.0

    def sigma(self, base: float) -> float:
        """The blur (px) that makes the shot as sharp as the reference blurred by ``base`` px.

        Within [0.5 base, 1.5 base]. A blurrier shot looks like film at every edge.
        """
        return float(min(max(base * base - self.extra_blur, (0.5 * base) ** 2), (1.5 * base) ** 2) ** 0.5)

    def matched(self, light: U16, box: Box, base: float, shade: Shade | None = None) -> F32:
        """The shot in the light of the reference, as sharp as the reference blurred by ``base`` px.

        Parameters
        ----------
        light
            (C, h, w) uint16 linear light of the shot, 65535 = full scale.
        box
            Where it lies in the frame.
        base
            Blur of the reference, px.
        shade
            The shot's flat field, divided out as well.

        Returns
        -------
        (C, h, w) float32, 1 = full scale. The field is bilinear on an absolute lattice: a pixel has
        the same bits in any tile.
        """
        gain = np.array([1.0 / (FULL_SCALE * gain) for gain in self.gain], np.float32)
        weights = blur_weights(self.sigma(base))
        return kernels.blurred_and_scaled(light, weights, self._lattice(box, shade), LATTICE, box.top % LATTICE, gain)

    def _lattice(self, box: Box, shade: Shade | None) -> F32:
        """1 / field on the rows of the lattice around a box: (1, n, w), with a flat field (C, n, w)."""
        rows = np.arange(box.top // LATTICE, -(-box.bottom // LATTICE) + 1, dtype=np.float64)
        columns = np.arange(box.left // LATTICE, -(-box.right // LATTICE) + 1, dtype=np.float64)
        x, y = units_of(columns[None, :] * LATTICE, rows[:, None] * LATTICE, self.shape)
        field = field_at(self.field, x, y)[None]
        if shade is not None:
            field = field * shade.at(columns[None, :] * LATTICE, rows[:, None] * LATTICE)
        nodes = (1.0 / field).astype(np.float32)
        pixels = np.arange(box.left, box.right)
        number = pixels // LATTICE - box.left // LATTICE
        share = (pixels % LATTICE / LATTICE).astype(np.float32)
        left, right = nodes.take(number, axis=2), nodes.take(number + 1, axis=2)  # not fancy: rows stay contiguous
        return np.asarray(left + (right - left) * share, np.float32)


def same_light(shape: tuple[int, int], channels: int) -> Light:
    """The light of the reference itself."""
    return Light(
        gain=(1.0,) * channels,
        field=(0.0,) * 5,
        extra_blur=0.0,
        film=0.0,
        clean_share=1.0,
        residual=0.0,
        samples=0,
        share=1.0,
        film_confounded=False,
        shape=shape,
    )


def field_at(field: tuple[float, ...], x: F64, y: F64) -> F64:
    """A light field at places in units of `Samples.place`."""
    a, b, c, d, e = field
    return np.asarray(np.exp(a * x + b * y + c * x * x + d * x * y + e * y * y))


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
    keep = (samples.image.min(1) > _DARK / 2) & (samples.reference.min(1) > _DARK)
    if int(keep.sum()) < _MIN_SAMPLES:
        raise Refusal("light", f"{int(keep.sum())} pixels can be used for matching the light", REMEDY)
    window = np.repeat(np.arange(len(samples.starts)), np.diff([*samples.starts, len(keep)]))[keep]
    starts = np.flatnonzero(np.diff(window, prepend=-1))
    window = np.repeat(np.arange(len(starts)), np.diff([*starts, len(window)]))
    image, base = samples.image[keep].astype(np.float64), samples.reference[keep].astype(np.float64)
    ratio = np.log(image) - np.log(base)
    contrast = np.asarray(white, np.float64) / base - 1.0
    x, y = samples.place[keep].T
    terms = np.stack([x, y, x * x, x * y, y * y], 1)
    count = np.diff([*starts, len(window)])
    centre = np.add.reduceat(terms, starts) / count[:, None]
    bend = samples.bend[keep].astype(np.float64) / base
    channels = base.shape[1]

    solved = np.zeros(channels + 6)
    depth = np.minimum(contrast, 40.0).mean(1)
    solved[:channels] = [_mode(v) for v in ratio[depth <= np.quantile(depth, 0.6)].T]
    held = _held(samples.fixed, channels)
    if samples.fixed is not None:
        known = samples.fixed.known
        offset = float((samples.fixed.ratio - solved[:channels])[known].mean())
        solved[:channels] = np.where(known, samples.fixed.ratio, solved[:channels] + offset)
    film = _first_film(ratio - solved[:channels], contrast, window, count)
    clean, weight, rest = np.zeros(0), ratio, ratio
    late = []
    for widen in (3.0, 2.0, 1.5, 1.2, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0):
        film = np.maximum(film, -0.002)
        weight, rest, sums = kernels.light_sums(
            ratio, contrast, bend, terms, starts, solved, film, widen, _NOISE, _SPECKLE, _UNEVEN, _TUKEY
        )
        solved, film, clean = _step(solved, film, clean, centre, sums, held, widen)
        late.append(solved)
    # where few windows are clean the last steps swing around the solution: their mean is taken
    solved = np.mean(late[-_LATE:], axis=0)
    if not np.isfinite(solved).all():
        raise Refusal("light", "no gain and field explain the light of the shot", REMEDY)
    used = weight.min(1) > 0.5
    return Light(
        gain=tuple(float(v) for v in np.exp(solved[:channels])),
        field=tuple(float(v) for v in solved[channels : channels + 5]),
        extra_blur=2.0 * float(solved[-1]),
        film=float(np.average(np.maximum(film, 0.0), weights=count)),
        clean_share=float(np.average(clean, weights=count)),
        residual=1.4826 * float(np.median(np.abs(rest[used]))) if used.any() else float("nan"),
        samples=int(used.sum()),
        share=float(used.mean()),
        film_confounded=white_assumed or channels == 1,
        shape=samples.shape,
    )


def _step(
    solved: F64, film: F64, clean: F64, centre: F64, sums: F64, held: tuple[F64, F64], widen: float
) -> tuple[F64, F64, F64]:
    """One Gauss-Newton step for (gain, field, blur), every window's film eliminated first (Schur complement).

    ``sums`` (9, m, C) are those of ``kernels.light_sums``: of the weight times 1, rest, slope, edge and their products,
    with the misfit ``rest``, its derivative ``slope`` by the window's film and ``edge`` by blur. The field's terms are
    taken at the centre of the window in the derivative (not in the misfit), so all sums are per window. No BLAS: its
    sums depend on the number of threads.
    """
    w, by_rest, by_slope, by_edge = sums[:4]
    slope_slope, slope_rest, edge_edge, edge_rest, edge_slope = sums[4:].sum(2)
    windows, channels = w.shape
    one = np.eye(channels)[None].repeat(windows, 0)
    design = np.concatenate([one, centre[:, None, :].repeat(channels, 1)], 2)  # (m, C, C + 5)
    size = channels + 6
    normal, right = np.zeros((size, size)), np.zeros(size)
    normal[:-1, :-1] = np.einsum("mc,mck,mcl->kl", w, design, design)
    normal[-1, :-1] = normal[:-1, -1] = np.einsum("mc,mck->k", by_edge, design)
    normal[-1, -1] = edge_edge.sum() + 1e-3 * w.sum()  # without edges: no blur
    right[:-1], right[-1] = np.einsum("mc,mck->k", by_rest, design), edge_rest.sum()
    rows, ratio = held
    normal += w.sum() * np.einsum("ck,cl->kl", rows, rows)
    right += w.sum() * np.einsum("ck,c->k", rows, ratio - np.einsum("ck,k->c", rows, solved))
    cross = np.concatenate([np.einsum("mc,mck->mk", by_slope, design), edge_slope[:, None]], 1)
    power, pull, mass = slope_slope + 1e-9, slope_rest, w.sum(1) + 1e-9

    found = _clean(film + pull / power, np.sqrt(power / mass), mass > 5.0, widen)
    # half the last belief is kept: what is clean and how even "clean" is can swing against each other for ever
    clean = 0.5 * (clean + found) if clean.size else found
    prior = power * clean / (1.0 - clean)  # a window believed clean is held at zero that firmly
    inverse, pull = 1.0 / (power + prior), pull - prior * film
    normal -= np.einsum("mk,ml,m->kl", cross, cross, inverse)
    right -= np.einsum("mk,m->k", cross, pull * inverse)
    change = np.linalg.solve(normal + 1e-9 * np.trace(normal) * np.eye(size), right)
    return solved + change, film + (pull - np.einsum("mk,k->m", cross, change)) * inverse, clean


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
    opacity = (np.expm1(np.clip(ratio, -5.0, 5.0)) * contrast).sum(1) / np.maximum(np.square(contrast).sum(1), 1e-3)
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
