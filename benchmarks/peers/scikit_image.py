"""The workload with scikit-image and SciPy, in float32.

python -m benchmarks.peers.scikit_image PAIRS OUT [--workers N]
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter  # type: ignore[import-untyped]
from skimage.filters import threshold_otsu
from skimage.io import imread
from skimage.morphology import dilation, footprint_rectangle, opening, remove_small_objects

from benchmarks.peers.workload import BINS, GLARE, GROUND, GROW, SIGMA, SMALLEST, Image, Pair, Planes, main


def smoothed(score: Image, valid: Image, sigma: float) -> Image:
    """A Gaussian over the valid pixels: normalised convolution."""
    weight = gaussian_filter(valid.astype(np.float32), sigma, mode="constant")
    total = gaussian_filter(np.where(valid, score, np.float32(0)), sigma, mode="constant")
    return np.asarray(total / np.maximum(weight, np.float32(1e-12)))


def signal_of(path: str) -> tuple[Image, Image, Image]:
    """Score in 8 bits, signal and valid pixels of a photograph."""
    picture = imread(path)
    # a tenth of the time of picture.min(axis=2)
    code = np.minimum(np.minimum(picture[..., 0], picture[..., 1]), picture[..., 2])
    valid = ~dilation(code > GLARE, footprint_rectangle((2 * GROW + 1, 2 * GROW + 1)))
    score = code / np.float32(255)
    return code, smoothed(score, valid, SIGMA) - smoothed(score, valid, GROUND), valid


def mask_of(signal: Image, level: float) -> Image:
    """What stands out, without specks."""
    mask = opening(signal > level, footprint_rectangle((3, 3)))
    return np.asarray(remove_small_objects(mask, max_size=SMALLEST - 1, connectivity=2))


def measure(pair: Pair) -> Planes:
    """Both shots, with the level of the first."""
    scores, signals, valid = zip(signal_of(pair.before), signal_of(pair.after), strict=True)
    level = threshold_otsu(signals[0][valid[0]], nbins=BINS)
    return Planes(scores, signals, [mask_of(signal, level) for signal in signals], valid)


if __name__ == "__main__":
    main(measure)
