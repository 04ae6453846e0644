"""The workload with OpenCV, in float32.

    python -m benchmarks.peers.opencv PAIRS OUT [--workers N] [--coarse]

``--coarse`` is a shortcut that experts take: the wide Gaussian of the ground on a picture of a quarter the side.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from benchmarks.peers.workload import BINS, GLARE, GROUND, GROW, SIGMA, SMALLEST, Image, Pair, Planes, main

cv2.setNumThreads(1)  # a way is one core, or a pool of such
SQUARE = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * GROW + 1, 2 * GROW + 1))
OPENING = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))
CELL = 4  # px of the picture in one of the coarse ground

Smooth = Callable[[Image, Image, float], Image]


def smoothed(score: Image, weight: Image, sigma: float) -> Image:
    """A Gaussian over the pixels with weight 1: normalised convolution."""
    side = 2 * int(4 * sigma + 0.5) + 1
    total = cv2.GaussianBlur(score, (side, side), sigma, borderType=cv2.BORDER_CONSTANT)
    share = cv2.GaussianBlur(weight, (side, side), sigma, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(cv2.divide(total, np.maximum(share, np.float32(1e-12))))


def coarse(score: Image, weight: Image, sigma: float) -> Image:
    """The same on a coarse grid: a wide Gaussian leaves nothing that needs more."""
    whole = score.shape[::-1]
    grid = [-(-side // CELL) for side in whole]
    small = [np.asarray(cv2.resize(plane, grid, interpolation=cv2.INTER_AREA)) for plane in (score, weight)]
    blurred = smoothed(small[0], small[1], sigma / CELL)
    return np.asarray(cv2.resize(blurred, whole, interpolation=cv2.INTER_CUBIC))


def signal_of(path: str, ground: Smooth) -> tuple[Image, Image, Image]:
    """Score in 8 bits, signal and valid pixels of a photograph."""
    picture = cv2.imdecode(np.frombuffer(Path(path).read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    blue, green, red = cv2.split(picture)
    code = cv2.min(cv2.min(blue, green), red)
    glare = cv2.dilate(cv2.threshold(code, GLARE, 255, cv2.THRESH_BINARY)[1], SQUARE)
    valid = cv2.bitwise_not(glare)
    weight = valid.astype(np.float32) / 255
    score = code.astype(np.float32) / 255 * weight
    return code, cv2.subtract(smoothed(score, weight, SIGMA), ground(score, weight, GROUND)), valid


def otsu(signal: Image, valid: Image) -> float:
    """Otsu's level: the centre of the bin that parts the valid pixels best."""
    low, high, _, _ = cv2.minMaxLoc(signal, valid)
    edges = np.linspace(low, high, BINS + 1)
    above_all = float(np.nextafter(np.float32(high), np.float32(np.inf)))  # its last bin is open, that of Otsu is not
    counts = cv2.calcHist([signal], [0], valid, [BINS], [low, above_all]).ravel().astype(float)
    centres = (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    mean_below = np.cumsum(counts * centres) / np.maximum(below, 1)
    mean_above = np.cumsum((counts * centres)[::-1])[::-1] / np.maximum(above, 1)
    between = below[:-1] * above[1:] * (mean_below[:-1] - mean_above[1:]) ** 2
    return float(centres[np.argmax(between)])


def mask_of(signal: Image, level: float) -> Image:
    """What stands out, without specks."""
    bright = cv2.threshold(signal, level, 255, cv2.THRESH_BINARY)[1].astype(np.uint8)
    mask = cv2.morphologyEx(bright, cv2.MORPH_OPEN, OPENING)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    keep = (statistics[:, cv2.CC_STAT_AREA] >= SMALLEST).astype(np.uint8)
    keep[0] = 0
    return np.asarray(keep[labels])


def measure(pair: Pair, ground: Smooth = smoothed) -> Planes:
    """Both shots, with the level of the first."""
    scores, signals, valid = zip(signal_of(pair.before, ground), signal_of(pair.after, ground), strict=True)
    level = otsu(signals[0], valid[0])
    masks = [mask_of(signal, level) for signal in signals]
    return Planes(scores, signals, masks, [v > 0 for v in valid])


if __name__ == "__main__":
    main(measure, coarse=partial(measure, ground=coarse))
