"""Two soiled shots of one board against each other: the light between them, and the residue both show.

Without a clean photograph the darker of the two shots stands for the clean board. Residue that
lies in both is then taken for board, but it leaves a trace: what the cleaner left of a deposit
has the deposit's shape. So within small pieces of board (`Samples.starts`) the whiteness of the
darker shot is regressed on the change between the shots. The board's own pattern does not follow
the change; a slope k says that for each opacity which came off, about k is still there. Deposits
that did not change at all stay unseen.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from residue_batch.geometry import Array
from residue_batch.laps import lapped
from residue_batch.matching.light import Light, field_at
from residue_batch.matching.light_fit import fit_light
from residue_batch.matching.samples import Samples

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

_WHITE = 0.5  # share of W above which a pixel of the darker shot says little of residue
_LARGEST = 0.6  # opacity: a thicker change counts as this much
_PATTERN = 0.1  # log light: no piece of board is trusted to be plainer than this
_FAINT = 0.007  # opacity: changes no stronger than this (rms) are noise, and show nothing
_SLOPE = 1.0  # a deposit of which more than half is left cannot be told from board
_THICKEST = 0.9


@lapped("light")
def fit_pair(samples: Samples, white: F32, *, white_assumed: bool = False) -> Light:
    """The light of the after-shot against that of the before-shot, and how much both have in common.

    Film is a term of the light fit that only ever brightens, so the fit needs the cleaner shot as
    its reference. Which one that is is not known: both ways are fitted, and the one that explains
    more of the pixels is kept.

    Parameters
    ----------
    samples
        The after-shot as image, the before-shot as reference.
    white, white_assumed
        As in `fit_light`.

    Raises
    ------
    Refusal
        ``light``, as in `fit_light`.
    """
    onward = fit_light(samples, white, white_assumed=white_assumed)
    back = fit_light(_turned(samples), white, white_assumed=white_assumed)
    light = onward if onward.share >= back.share else _inverse(back)
    return replace(light, common=_common(samples, light, np.asarray(white, np.float64)))


def cleaner(before: F32, after: F32, white: F32, common: float) -> F32:
    """The clean colour at each pixel, from two shots in one light.

    The less white of the two by luminance, less the film that both are held to have.

    Parameters
    ----------
    before, after
        (C, h, w) float32 linear light, matched.
    white
        (C,) float32, the colour of residue.
    common
        `Light.common`.
    """
    darker = np.where(after.sum(axis=0) < before.sum(axis=0), after, before)
    if not common:
        return np.asarray(darker)
    change, norm = np.zeros(before.shape[1:], np.float32), np.full(before.shape[1:], 1e-6, np.float32)
    for channel, full in enumerate(white):
        span = full - darker[channel]
        change += (before[channel] - after[channel]) * span
        norm += span * span
    film = np.clip(np.float32(common) * change / norm, np.float32(0), np.float32(_THICKEST))
    return np.asarray((darker - film * white[:, None, None]) / (1 - film), np.float32)


def _turned(samples: Samples) -> Samples:
    """Image and reference exchanged."""
    # the edges of the two shots bend alike, as far as the small term of blur goes
    fixed = samples.fixed and samples.fixed._replace(ratio=-samples.fixed.ratio)
    return replace(samples, image=samples.reference, reference=samples.image, fixed=fixed)


def _inverse(light: Light) -> Light:
    return replace(
        light,
        gain=tuple(1.0 / g for g in light.gain),
        field=tuple(-f for f in light.field),
        extra_blur=-light.extra_blur,
    )


def _common(samples: Samples, light: Light, white: F64) -> float:
    """See `Light.common`."""
    seen = samples.reference.astype(np.float64)
    after = samples.image / np.array(light.gain) / field_at(light.field, *samples.place.T)[:, None]
    darker = np.where((after.sum(1) < seen.sum(1))[:, None], after, seen)
    span = white - darker
    change = ((seen - after) * span).sum(1) / np.maximum(np.square(span).sum(1), 1e-6)
    sign = 1.0 if change.mean() >= 0 else -1.0
    change = np.clip(sign * change, -_LARGEST, _LARGEST)
    whiteness = (darker * white).sum(1) / np.square(white).sum()
    # film of opacity a takes log(1 - a) from the distance to white, whatever the board's colour
    distance = -np.log(np.clip(1.0 - whiteness, 0.05, 1.0))
    usable = (whiteness < _WHITE).astype(np.float64)
    count = np.diff([*samples.starts, len(change)])

    def total(values: Array) -> F64:
        return np.asarray(np.add.reduceat(values, samples.starts), np.float64)

    def centred(values: Array, weight: F64, mass: F64) -> F64:
        return np.asarray(values - np.repeat(total(weight * values) / mass, count), np.float64)

    slope, weight, faint = 0.0, usable, len(change) * (_FAINT / _PATTERN) ** 2
    for _ in range(3):
        mass = total(weight) + 1e-9
        u, v = centred(change, weight, mass), centred(distance, weight, mass)
        spread = total(weight * np.square(v - slope * u)) / mass + _PATTERN**2
        plain = (mass > count / 6) / spread
        slope = float((plain * total(weight * u * v)).sum() / ((plain * total(weight * u * u)).sum() + faint))
        slope = min(max(slope, 0.0), 3.0)
        misfit = (v - slope * u) / np.repeat(np.sqrt(spread), count)
        weight = usable * np.square(np.clip(1.0 - np.square(misfit / 4.685), 0.0, None))
    return sign * min(slope, _SLOPE)
