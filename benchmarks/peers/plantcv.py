"""The workload with PlantCV, as far as it goes: 8 bits all along, and its blur knows no mask.

    python -m benchmarks.peers.plantcv PAIRS OUT

What is negative after the ground is taken away is 0, and glare bleeds into its surroundings: its numbers are its own.
PlantCV needs an environment of its own, with zarr in it.
"""

from __future__ import annotations

import cv2
import numpy as np
from plantcv import plantcv as pcv  # type: ignore[import-not-found]
from skimage.filters import threshold_otsu

from benchmarks.peers.workload import BINS, GLARE, GROUND, GROW, SIGMA, SMALLEST, Image, Pair, Planes, main

cv2.setNumThreads(1)  # a way is one core, or a pool of such


def blurred(score: Image, sigma: float) -> Image:
    """A Gaussian over all pixels."""
    side = 2 * int(4 * sigma + 0.5) + 1
    return np.asarray(pcv.gaussian_blur(score, ksize=(side, side), sigma_x=sigma))


def signal_of(path: str) -> tuple[Image, Image, Image]:
    """Score and signal in 8 bits, and what is no glare."""
    picture, _, _ = pcv.readimage(path)
    score = np.minimum(np.minimum(picture[..., 0], picture[..., 1]), picture[..., 2])
    glare = pcv.dilate(pcv.threshold.binary(score, threshold=GLARE, object_type="light"), ksize=2 * GROW + 1, i=1)
    signal = pcv.image_subtract(blurred(score, SIGMA), blurred(score, GROUND))
    return score, np.asarray(signal), glare == 0


def mask_of(signal: Image, level: float) -> Image:
    """What stands out, without specks."""
    bright = pcv.threshold.binary(signal, threshold=int(level), object_type="light")
    opened = pcv.opening(bright, kernel=np.ones((3, 3), np.uint8))
    return np.asarray(pcv.fill(opened, size=SMALLEST - 1) > 0)


def measure(pair: Pair) -> Planes:
    """Both shots, with the level of the first."""
    scores, signals, valid = zip(signal_of(pair.before), signal_of(pair.after), strict=True)
    level = threshold_otsu(signals[0][valid[0]], nbins=BINS)
    masks = [mask_of(signal, level) for signal in signals]
    return Planes(scores, [s / np.float32(255) for s in signals], masks, valid)


if __name__ == "__main__":
    main(measure)
