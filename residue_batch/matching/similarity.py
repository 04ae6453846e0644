"""How alike two pictures are: the standard measures, each a pure function of two arrays.

Those that compare are symmetric, ``s(a, b) == s(b, a)``, and 1 (distances: 0) for a picture with
itself. Shifts are antisymmetric: exchanged pictures give the opposite shift. Pictures that are
compared pixel by pixel or by their spectrum have one shape; those that are compared by histogram
may have any. A histogram is taken of the picture as it is: one of a resized picture is another
histogram, so nothing here resizes.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from residue_batch.geometry import Array

F64 = NDArray[np.float64]


def _pair(a: Array, b: Array) -> tuple[F64, F64]:
    if a.shape != b.shape:
        raise ValueError(f"pictures of {a.shape} and {b.shape} cannot be compared pixel by pixel")
    return np.asarray(a, np.float64), np.asarray(b, np.float64)


def correlation(a: Array, b: Array) -> float:
    """Zero-mean normalised cross-correlation of two arrays, -1..1; NaN where one is even.

    sum (a - mean a)(b - mean b) / sqrt(sum (a - mean a)^2 sum (b - mean b)^2)
    """
    x, y = _pair(a, b)
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt(np.square(x).sum() * np.square(y).sum()))
    return float((x * y).sum()) / norm if norm > 0 else float("nan")


class Shift(NamedTuple):
    """Where ``b`` lies against ``a``, px: b(x + dx, y + dy) = a(x, y); and how sure that is.

    ``peak_ratio`` is the highest peak over the highest one more than two pixels away: 1 means anywhere.
    """

    dx: float
    dy: float
    peak_ratio: float


def phase_correlation(a: Array, b: Array) -> Shift:
    """The shift between two (h, w) pictures from the phase of their cross-spectrum (Kuglin and Hines 1975).

    The spectrum of ``a`` is conjugated: without it the peak lies at the sum of the places and not at
    their difference. To a whole pixel; a Hann window keeps the borders out.
    """
    x, y = _pair(a, b)
    window = np.outer(np.hanning(x.shape[0]), np.hanning(x.shape[1]))
    cross = np.conj(np.fft.rfft2((x - x.mean()) * window)) * np.fft.rfft2((y - y.mean()) * window)
    size = np.abs(cross)
    if not size.max() > 0:
        return Shift(0.0, 0.0, 1.0)
    found = np.fft.irfft2(cross / np.maximum(size, 1e-9 * size.max()), s=x.shape)
    row, column = np.unravel_index(int(found.argmax()), found.shape)
    peak = float(found[row, column])
    near = np.arange(-2, 3)
    rest = found.copy()
    rest[np.ix_((row + near) % found.shape[0], (column + near) % found.shape[1])] = -np.inf
    second = max(float(rest.max()), 1e-12)
    dy, dx = (int(v) if v <= n // 2 else int(v) - n for v, n in zip((row, column), found.shape, strict=True))
    return Shift(float(dx), float(dy), peak / second)


def spectrum_similarity(a: Array, b: Array) -> float:
    """Correlation of the logarithmic magnitude spectra of two (h, w) pictures, -1..1.

    It does not see where things lie, only how fine they are: the same board moved scores high, a
    blurred one low.
    """
    x, y = _pair(a, b)
    return correlation(*(_magnitude(v) for v in (x, y)))


def _magnitude(picture: F64) -> F64:
    window = np.outer(np.hanning(picture.shape[0]), np.hanning(picture.shape[1]))
    return np.asarray(np.log1p(np.abs(np.fft.rfft2((picture - picture.mean()) * window))))


def relative_blur(a: Array, b: Array) -> float:
    """How much blurrier ``b`` is than ``a``, as the sigma of a Gaussian, px; negative when it is sharper.

    From the power of both (h, w) pictures in two bands of frequency: exp(-4 pi^2 sigma^2 f^2) is what a
    Gaussian leaves of it. The pictures need not be aligned, so noise counts as sharpness; for aligned ones
    `quality.blur_of` is better.
    """
    x, y = _pair(a, b)
    rows, columns = np.fft.fftfreq(x.shape[0])[:, None], np.fft.rfftfreq(x.shape[1])[None, :]
    square = rows * rows + columns * columns
    low, high = (square > 0.02**2) & (square < 0.05**2), (square > 0.10**2) & (square < 0.18**2)
    window = np.outer(np.hanning(x.shape[0]), np.hanning(x.shape[1]))
    power = [np.square(np.abs(np.fft.rfft2((v - v.mean()) * window))) + 1e-12 for v in (x, y)]
    fall = [float(np.log(p[low].mean() / p[high].mean())) for p in power]
    apart = float(square[high].mean() - square[low].mean())
    variance = (fall[1] - fall[0]) / (4 * np.pi**2 * apart)
    return float(np.sign(variance) * np.sqrt(abs(variance)))


def histogram(picture: Array, bins: int = 64) -> F64:
    """The normalised histogram of a uint8 or uint16 picture, per channel, (C, bins); each channel sums to 1."""
    top = np.iinfo(picture.dtype).max + 1
    flat = picture.reshape(-1, picture.shape[2] if picture.ndim == 3 else 1)
    count = np.stack([np.bincount(v.astype(np.int64) * bins // top, minlength=bins) for v in flat.T])
    return np.asarray(count / max(len(flat), 1), np.float64)


def ruzicka(a: F64, b: F64) -> float:
    """Ruzicka similarity of two non-negative arrays, 0..1: sum of minima over sum of maxima.

    The weighted form of Jaccard's index (Ruzicka 1958); of normalised histograms, so that a larger picture is
    not another one.
    """
    x, y = _pair(a, b)
    most = float(np.maximum(x, y).sum())
    return float(np.minimum(x, y).sum()) / most if most > 0 else 1.0


def hellinger(a: F64, b: F64) -> float:
    """Hellinger distance of two normalised histograms, 0..1: sqrt(1 - Bhattacharyya coefficient); channels averaged."""
    x, y = (np.atleast_2d(v) for v in _pair(a, b))
    return float(np.sqrt(np.clip(1.0 - np.sqrt(x * y).sum(1).mean(), 0.0, 1.0)))


def earth_mover(a: F64, b: F64) -> float:
    """Earth mover's distance of two normalised histograms, as a share of full scale; channels averaged.

    In one dimension it is the area between the cumulative histograms (Werman et al. 1985).
    """
    x, y = (np.atleast_2d(v) for v in _pair(a, b))
    return float(np.abs(np.cumsum(x, 1) - np.cumsum(y, 1)).sum(1).mean() / x.shape[1])


def shift_field(a: Array, b: Array, block: int = 64, reach: int = 6) -> F64:
    """The shift of each block of ``a`` that finds it again in ``b``: (rows, columns, 3) of dx, dy, correlation.

    Block matching by normalised correlation within ``reach`` px, on (h, w) uint8 pictures; to a whole pixel. A
    block without texture has a correlation of 0.
    """
    if a.shape != b.shape:
        raise ValueError(f"pictures of {a.shape} and {b.shape} cannot be compared block by block")
    rows, columns = ((n - 2 * reach) // block for n in a.shape)
    field = np.zeros((max(rows, 0), max(columns, 0), 3))
    for row in range(field.shape[0]):
        for column in range(field.shape[1]):
            top, left = reach + row * block, reach + column * block
            piece = a[top : top + block, left : left + block]
            around = b[top - reach : top + block + reach, left - reach : left + block + reach]
            if piece.std() < 1.0 or around.std() < 1.0:
                continue
            score = cv2.matchTemplate(np.ascontiguousarray(around), np.ascontiguousarray(piece), cv2.TM_CCOEFF_NORMED)
            y, x = np.unravel_index(int(score.argmax()), score.shape)
            field[row, column] = x - reach, y - reach, score[y, x]
    return field
