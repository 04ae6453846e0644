"""Thresholds: a scalar plane becomes a mask."""

from __future__ import annotations

import numpy as np

from residue_batch.step import Mask, Plane, step


@step(version=1, examples=({"level": 0.05}, {"level": -0.1}))
def threshold(plane: Plane, *, level: float) -> Mask:
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
    return np.asarray(plane > np.float32(level))
