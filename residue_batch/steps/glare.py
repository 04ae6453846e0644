"""Glare: mirrors of the lamp, which hide what lies under them."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from residue_batch import kernels
from residue_batch.step import Colour, Mask, Raw, full_scale, step
from residue_batch.steps.morphology import Radius, grown, reach


def _glare_reach(grow: float) -> int:
    return reach(grow)


@step(version=1, halo=_glare_reach, examples=({"above": 0.9}, {"above": 0.5, "grow": "2 px", "metal_above": 0.0}))
def glare(
    raw: Raw,
    reference: Colour,
    *,
    above: Annotated[float, Field(gt=0, lt=1)] = 0.94,
    grow: Radius = 5.0,
    metal_above: Annotated[float, Field(ge=0, lt=1)] = 0.25,
) -> Mask:
    """Saturated pixels where the clean board is metal or bright, and what is near them.

        glare: {step: glare, of: raw, above: 0.94, grow: 5 px}

    ``min over channels of raw > above`` and ``min over channels of reference > metal_above``,
    grown by a disc. Only the clean colour tells glare from residue: a white
    saturated patch on solder mask is a thick crystal, and it must count (its
    opacity is a lower bound, reported as ``saturated_pct`` of ``load``). Coloured
    solder mask and ink have a dark channel; tin, solder and white parts have none.

    Parameters
    ----------
    raw
        The shot as taken.
    reference
        The clean colour of the board, linear light.
    above
        sRGB code as a share of full scale (0.94 = 240 of 255), all channels.
    grow
        Radius of the disc by which saturated pixels are grown; 0 px for none.
    metal_above
        Linear light as a share of full scale that every channel of the
        reference has on metal. Lower it for gold and copper (their blue
        channel is dark); 0 treats every saturated pixel as glare.
    """
    code = np.floor(above * full_scale(raw)).astype(raw.dtype)
    found = np.asarray(kernels.least(raw) > code)
    if metal_above > 0:
        kernels.keep_above(reference, metal_above, found.view(np.uint8))
    return grown(found, grow) if reach(grow) else found
