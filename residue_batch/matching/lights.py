"""The lights of a board's shots: what may hold for each shot alone, and what holds for all together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from residue_batch.matching.common import fit_pair
from residue_batch.matching.light import Light
from residue_batch.matching.light_error import with_error
from residue_batch.matching.light_fit import fit_lights
from residue_batch.matching.samples import Samples

ASKED = 1.005
"""A field is asked for where it lowers the misfit of a board's shots by more than this factor."""


def lights_of(
    samples: Samples, white: NDArray[np.float32], *, white_assumed: bool, pair: bool
) -> tuple[Light, Light | None]:
    """The light of a shot, and the one without a field that may hold instead; each with its error.

    Parameters
    ----------
    samples, white, white_assumed
        As for `fit_light`.
    pair
        The reference is the other shot of the board: then there is nothing to choose.
    """
    if pair:
        return with_error(samples, white, fit_pair(samples, white, white_assumed=white_assumed)), None
    light, even = fit_lights(samples, white, white_assumed=white_assumed)
    return with_error(samples, white, light), even and with_error(samples, white, even)


def agreed(lights: Sequence[Light | None], even: Sequence[Light | None]) -> Sequence[Light | None]:
    """The lights of a board's shots: all of them without a field where together they do not ask for one.

    A film over the whole board is taken in part for a field, because nothing there is clean. What a field explains of
    a film hardly lowers the misfit; what it explains of a lamp does. One shot with a field and the other without would
    be on two scales, so they choose together.

    Parameters
    ----------
    lights, even
        Of each shot, from `lights_of`; None for shots that are compared as taken.
    """
    misfit = sum(light.misfit for light in lights if light)
    return even if all(even) and sum(light.misfit for light in even if light) <= ASKED * misfit else lights
