"""The colour of white residue under the light of a reference."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from residue_batch.errors import UsageError
from residue_batch.geometry import Array
from residue_batch.matching.resample import FULL_SCALE

F32 = NDArray[np.float32]
Mask = NDArray[np.bool_]


def white_colour(reference_linear: Array, patch: Mask | None) -> tuple[F32, bool]:
    """The colour of white residue under the light of the reference.

    Parameters
    ----------
    reference_linear
        (C, H, W) uint16 linear light of the reference, 65535 = full scale.
    patch
        (H, W) bool: the declared white patch, or None.

    Returns
    -------
    white
        (C,) float32 linear light, 1 = full scale: the 60th percentile of the
        patch; without one, equal channels at the 99.9th percentile of the reference.
    assumed
        True without a patch: opacities are then on an assumed scale.

    Raises
    ------
    UsageError
        When the patch has no pixel on the reference, or is black.
    """
    channels, *shape = reference_linear.shape
    if patch is None:
        step = max(1, int((shape[0] * shape[1] / 1_000_000) ** 0.5))
        top = float(np.percentile(reference_linear[:, ::step, ::step], 99.9)) / FULL_SCALE
        return np.full(channels, max(top, 1e-3), np.float32), True
    if list(patch.shape) != shape or not patch.any():
        raise UsageError("the white patch has no pixel on the reference")
    white = np.percentile(reference_linear[:, patch], 60, axis=1) / FULL_SCALE
    if white.min() < 0.02:
        raise UsageError("the white patch is black on the reference")
    return white.astype(np.float32), False
