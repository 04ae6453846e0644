"""Masks out of masks: ``and``, ``or``, ``not``."""

from __future__ import annotations

import numpy as np

from residue_batch import kernels
from residue_batch.step import Mask, step


@step(version=1, name="and")
def and_(*masks: Mask) -> Mask:
    """Pixels that are in every one of the masks.

        metal_residue: {step: and, of: [residue, metal]}

    Takes one mask or more, no parameters.
    """
    return kernels.in_all(masks)


@step(version=1, name="or")
def or_(*masks: Mask) -> Mask:
    """Pixels that are in at least one of the masks.

        hidden: {step: or, of: [glare, label]}

    Takes one mask or more, no parameters.
    """
    any_of = masks[0].copy()
    for mask in masks[1:]:
        any_of |= mask
    return any_of


@step(version=1, name="not")
def not_(mask: Mask) -> Mask:
    """Pixels that are not in the mask.

        bare: {step: not, of: residue}

    No parameters. Pixels that no photograph shows are "not in the mask" too;
    measures leave them out through ``where``.
    """
    return np.asarray(~mask)
