"""Moved: places whose colour is no mixture of the clean board and white residue."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from residue_batch.geometry import strips
from residue_batch.step import Array, Colour, Mask, Raw, White, full_scale, step
from residue_batch.steps.morphology import Radius, grown, open_, reach
from residue_batch.steps.unmix import LEAST_CONTRAST

# |W - B|^2 below this: there is no line to be off
_ALIKE = np.float32(1e-6)
_SATURATED = 0.94  # code value, of full scale


def _reach(size: float, grow: float) -> int:
    return 2 * reach(size) + reach(grow)


def _far_off(image: Array, reference: Array, raw: Array, white: Array, level: float, least: float) -> Array:
    """``|I - B|^2 - ((I - B) . (W - B))^2 / |W - B|^2 > level^2``, in a fixed order: always the same bits.

    Only where ``|W - B| >= least`` and no channel is saturated: there a colour says nothing.
    """
    clipped = int(_SATURATED * full_scale(raw))
    found = np.zeros(image.shape[1:], np.bool_)
    for rows in strips(image.shape[1]):
        square, along, length = (np.zeros_like(image[0, rows]) for _ in range(3))
        for seen, board, white_there in zip(image[:, rows], reference[:, rows], white, strict=True):
            rise, span = seen - board, white_there - board
            square += rise * rise
            along += rise * span
            length += span * span
        # dividing first keeps float32 far from its ends
        far = square - along * (along / np.maximum(length, _ALIKE)) > np.float32(level * level)
        far &= length >= np.float32(least * least)
        if far.any():
            far &= raw[:, rows].max(axis=0) < clipped
        found[rows] = far
    return found


@step(
    version=1,
    halo=_reach,
    examples=({"above": 0.3}, {"above": 0.2, "size": "1 px", "grow": "2 px"}, {"above": 0.4, "size": "0 px"}),
)
def moved(
    image: Colour,
    reference: Colour,
    raw: Raw,
    white: White,
    *,
    above: Annotated[float, Field(gt=0, lt=2)] = 0.07,
    size: Radius = 3.0,
    grow: Radius = 5.0,
) -> Mask:
    """Places where something lies that is neither the clean board nor white residue on it.

        moved: {step: moved}

    A part that sits elsewhere, a cable, a fingerprint of dye: its colour is off
    the line from the board's clean colour B to the colour W of residue. The
    distance from that line, ``|I - B - a (W - B)|``, is compared with ``above x |W|``;
    what is narrower than a disc of the radius ``size`` is the edge of something
    that sits where it should, or noise, and is dropped; the rest is grown.

    Put it into ``exclude``: what is hidden there cannot be known. What moved but
    is grey on grey lies on the line and is not found. A grey photograph has no
    colour to be off by: nothing is found.

    Parameters
    ----------
    image
        The shot in linear light, matched to the reference's light.
    reference
        The clean colour B.
    raw
        The shot as taken: where a channel is saturated a colour says nothing.
    white
        The colour W of residue in the same light.
    above
        Distance from the line as a share of the length of W.
    size
        Radius of the smallest disc that counts; 0 px for single pixels.
    grow
        Radius by which what was found is grown.
    """
    scale = float(np.sqrt(np.square(white.astype(np.float64)).sum()))
    found = _far_off(image, reference, raw, white, above * scale, LEAST_CONTRAST * scale)
    if not found.any():
        return found
    return grown(np.ascontiguousarray(open_(found, radius=size)), grow)
