"""Residue as it is counted by hand: no alignment, no light matching, no clean reference.

Each takes the grey photographs before and after and the mask of the board, in
code values of 8 bits, and returns (before, after): shares of the board, 0 to 1.
They are what the product is compared with, so each is done as people do it.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Naive = Callable[[Grey, Grey, Mask], tuple[float, float]]

WHITE = 150  # grey above it is called residue
SUPER_BRIGHT = 250  # grey from here on is called glare


def fixed_threshold(before: Grey, after: Grey, board: Mask) -> tuple[float, float]:
    """The share of the board brighter than one grey level, the same in both photographs."""
    return float((before[board] > WHITE).mean()), float((after[board] > WHITE).mean())


def otsu_each(before: Grey, after: Grey, board: Mask) -> tuple[float, float]:
    """The share of the board above Otsu's level, found anew in each photograph."""

    def share(shot: Grey) -> float:
        level, _ = cv2.threshold(shot[board], 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
        return float((shot[board] > level).mean())

    return share(before), share(after)


def mask_and_sum(before: Grey, after: Grey, board: Mask) -> tuple[float, float]:
    """The sum of all grey values but the super-bright ones, which are masked as glare."""

    def total(shot: Grey) -> float:
        values = shot[board]
        return float(values[values < SUPER_BRIGHT].sum(dtype=np.int64)) / (255 * values.size)

    return total(before), total(after)


NAIVE: dict[str, Naive] = {
    "fixed_threshold": fixed_threshold,
    "otsu_each": otsu_each,
    "mask_and_sum": mask_and_sum,
}
