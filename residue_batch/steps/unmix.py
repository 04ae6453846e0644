"""Opacity: how much of a pixel is white residue."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from residue_batch.geometry import strips
from residue_batch.step import Array, Colour, Mask, Plane, White, step

OPACITY_LIMIT = 4.0
"""Opacities are clipped to +-4: far beyond what can be real, and finite."""

# |W - B|^2 below this (linear light, 1 = full scale): board and residue look alike
_ALIKE = np.float32(1e-6)


def _distance(reference: Array, white: Array, rows: slice, out: Array, scratch: Array) -> None:
    """``|W - B|^2`` of some rows into ``out``: one channel after the other, so always the same bits."""
    for channel in range(reference.shape[0]):
        np.subtract(white[channel], reference[channel, rows], out=scratch)
        scratch *= scratch
        if channel:
            out += scratch
        else:
            out[...] = scratch


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
    channels, height, width = image.shape
    opacity = np.empty((height, width), np.float32)
    above, span, norm = (np.empty((min(height, 64), width), np.float32) for _ in range(3))
    for rows in strips(height):
        count = rows.stop - rows.start
        a, s, n, out = above[:count], span[:count], norm[:count], opacity[rows]
        for channel in range(channels):
            board = reference[channel, rows]
            np.subtract(white[channel], board, out=s)
            np.subtract(image[channel, rows], board, out=a)
            a *= s
            s *= s
            if channel:
                out += a
                n += s
            else:
                out[...] = a
                n[...] = s
        alike = n < _ALIKE
        np.maximum(n, _ALIKE, out=n)
        out /= n
        if alike.any():
            out[alike] = 0
        np.clip(out, -OPACITY_LIMIT, OPACITY_LIMIT, out=out)
    return opacity


@step(version=1, examples=({}, {"at_least": 0.8}))
def contrast(reference: Colour, white: White, *, at_least: Annotated[float, Field(ge=0)] = 0.3) -> Mask:
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
    height, width = reference.shape[1:]
    seen = np.empty((height, width), np.bool_)
    limit = np.float32(at_least**2 * float(np.square(white.astype(np.float64)).sum()))
    distance, scratch = (np.empty((min(height, 64), width), np.float32) for _ in range(2))
    for rows in strips(height):
        count = rows.stop - rows.start
        _distance(reference, white, rows, distance[:count], scratch[:count])
        np.greater_equal(distance[:count], limit, out=seen[rows])
    return seen
