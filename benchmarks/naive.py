"""Residue as it is counted by hand: without a clean reference, mostly without alignment or light matching.

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


def change_only(before: Grey, after: Grey, board: Mask) -> tuple[float, float]:
    """Laid over each other and made equally bright: darker since then was removed, brighter is new.

    Sums of the differences of grey beyond three times their noise. Nothing is
    known of the clean board, so what stayed in place is not seen at all.
    """
    moved = _laid_over(after, before).astype(np.float32)
    both = board & (moved > 0)
    if not both.any():
        return 0.0, 0.0
    ratio = np.log1p(before[both].astype(np.float32)) - np.log1p(moved[both])
    counts, edges = np.histogram(ratio, 200, (-1.5, 1.5))
    # the commonest ratio: where nothing changed
    gain = float(np.exp(edges[counts.argmax()] + edges[1] / 2 - edges[0] / 2))
    change = before[both].astype(np.float32) - np.float32(gain) * moved[both]
    noise = 3 * 1.4826 * float(np.median(np.abs(change)))
    full = 255 * change.size
    removed, new = change[change > noise], -change[change < -noise]
    return float(removed.sum(dtype=np.float64)) / full, float(new.sum(dtype=np.float64)) / full


def _laid_over(shot: Grey, onto: Grey) -> Grey:
    """A shot where the other one has it, by ORB features and RANSAC; 0 beyond its edge, as it is without a match."""
    orb = cv2.ORB.create(2000)
    found = [orb.detectAndCompute(image, np.empty(0)) for image in (shot, onto)]
    if any(descriptors is None or len(points) < 12 for points, descriptors in found):
        return shot
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(found[0][1], found[1][1])
    if len(matches) < 12:
        return shot
    source = np.array([found[0][0][m.queryIdx].pt for m in matches], np.float32)
    target = np.array([found[1][0][m.trainIdx].pt for m in matches], np.float32)
    matrix, _ = cv2.findHomography(source, target, cv2.RANSAC, 3.0)
    if matrix is None:
        return shot
    return np.asarray(cv2.warpPerspective(shot, matrix, onto.shape[::-1]), np.uint8)


NAIVE: dict[str, Naive] = {
    "fixed_threshold": fixed_threshold,
    "otsu_each": otsu_each,
    "mask_and_sum": mask_and_sum,
    "change_only": change_only,
}
