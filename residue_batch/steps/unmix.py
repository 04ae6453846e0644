"""Opacity: how much of a pixel is white residue."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from residue_batch import kernels
from residue_batch.step import Colour, Mask, Plane, White, step

OPACITY_LIMIT = 4.0
"""Opacities are clipped to +-4: far beyond what can be real, and finite."""

LEAST_CONTRAST = 0.3
"""Share of |W| by which a clean colour must differ from white for residue to be seen."""
# |W - B|^2 below this (linear light, 1 = full scale): board and residue look alike
_ALIKE = 1e-6


@step(version=1)
def unmix(image: Colour, reference: Colour, white: White) -> Plane:
    """Opacity of white residue, signed: 0 = clean, 1 = as white as the white patch.

        opacity: {step: unmix}

    A pixel is a mixture ``I = (1 - a) B + a W`` in linear light of the board's
    own clean colour B and of residue W; the opacity is the projection on the
    line between them,

        a = (I - B) . (W - B) / |W - B|^2

    Noise makes it negative as often as positive, and it must stay so: clipping
    at zero would turn noise into residue. Values are clipped to +-4; where
    board and residue have the same colour (``|W - B|^2 < 1e-6``) it is 0, and
    such pixels are not observable anyway. A pixel that is not a number stays so.

    Parameters
    ----------
    image
        The shot in linear light, matched to the reference's light.
    reference
        The clean colour B.
    white
        The colour W of residue in the same light.
    """
    return kernels.unmix(image, reference, white, _ALIKE, OPACITY_LIMIT)


@step(version=1, examples=({}, {"at_least": 0.8}))
def contrast(reference: Colour, white: White, *, at_least: Annotated[float, Field(ge=0)] = LEAST_CONTRAST) -> Mask:
    """Pixels on which white residue can be seen: ``|W - B| >= at_least x |W|``.

        visible: {step: contrast, at_least: 0.3}

    White ink, labels and bright bare metal fall out. ``observable`` holds this
    condition already, with 0.3.

    Parameters
    ----------
    reference
        The clean colour B, linear light.
    white
        The colour W of residue in the same light.
    at_least
        The distance needed, as a share of the length of W.
    """
    least = at_least**2 * float(np.square(white.astype(np.float64)).sum())
    return kernels.contrast(reference, white, least)
