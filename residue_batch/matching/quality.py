"""How well a photograph was taken, against the frame: its blur, and what of the board is burnt out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from residue_batch import kernels
from residue_batch.geometry import Array, Box, Transform
from residue_batch.laps import lapped
from residue_batch.matching.windows import Window

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

_WINDOWS = 12
_POINTS = 20_000
_BURNT = 0.985  # code value, of full scale
_LOW, _HIGH = (0.04, 0.09), (0.10, 0.16)  # cycles per px: below is the high-pass, above only noise


@dataclass(frozen=True)
class Quality:
    """How well a shot was taken.

    Attributes
    ----------
    blur_px
        Sigma of the Gaussian that makes the frame as blurred as the shot, frame px; negative when the shot is sharper.
    saturated_pct
        Share of the board that is burnt out in the shot and not near white on the reference.
    """

    blur_px: float
    saturated_pct: float


@lapped("quality")
def quality_of(shot: Array, seen: U8, transform: Transform, windows: Sequence[Window], points: F64) -> Quality:
    """Blur and saturation of a registered shot.

    Parameters
    ----------
    shot
        (H, W[, C]) as decoded.
    seen
        The same in grey, from `registration.grey`.
    transform
        Frame to shot.
    windows
        Of the frame, from `registration.target_of`.
    points
        (n, 2) [x, y] of the frame, from `board_points`.
    """
    return Quality(blur_of(seen, transform, windows), saturated(shot, transform, points))


def board_points(bits: Array, ignored: int, clean: Array | None) -> F64:
    """About 20,000 points [x, y] of the board, evenly spread, where the clean reference is not near white.

    Parameters
    ----------
    bits
        (h, w) region bits; bit 0 is the board.
    ignored
        The bit of ignored pixels.
    clean
        (c, h, w) uint16 linear light, or None without a reference.
    """
    stride = max(1, round((bits.size / _POINTS) ** 0.5))
    few = bits[::stride, ::stride]
    rows, columns = (n * stride for n in np.nonzero((few & 1 > 0) & (few & ignored == 0)))
    if clean is not None:
        dark = clean[:, rows, columns].max(0) < 0.7 * np.iinfo(np.uint16).max
        rows, columns = rows[dark], columns[dark]
    return np.stack([columns, rows], 1).astype(np.float64)


def saturated(shot: Array, transform: Transform, points: F64) -> float:
    """Per cent of the points at which any channel of the shot is at full scale; 0 without points."""
    x, y = np.rint(transform.apply(points)).astype(np.intp).T if len(points) else np.zeros((2, 0), np.intp)
    seen = (x >= 0) & (y >= 0) & (x < shot.shape[1]) & (y < shot.shape[0])
    if not seen.any():
        return 0.0
    value = shot[y[seen], x[seen]].reshape(int(seen.sum()), -1).max(1)
    return 100.0 * float((value >= _BURNT * np.iinfo(shot.dtype).max).mean())


def blur_of(seen: U8, transform: Transform, windows: Sequence[Window]) -> float:
    """Sigma (frame px) of the blur of a grey shot against the frame; negative when it is sharper.

    The transfer function from frame to shot, |<conj F S>| / <|F|^2>, is taken in two bands of frequency; a Gaussian
    leaves exp(-2 pi^2 sigma^2 f^2). Noise and residue have nothing in common with the frame and drop out.
    """
    chosen = windows[:: max(1, -(-len(windows) // _WINDOWS))]
    found = [v for v in (_variance(w, _patch(seen, transform, w.box)) for w in chosen) if np.isfinite(v)]
    if not found:
        return float("nan")
    variance = float(np.median(found))
    return float(np.sign(variance) * np.sqrt(abs(variance)))


def _patch(seen: U8, transform: Transform, box: Box) -> F32:
    """The shot on a window of the frame, filtered as the window's detail is."""
    patch = kernels.cubic_window(seen, *transform.numbers, box)
    soft = cv2.GaussianBlur(patch, (7, 7), 1.0)
    return np.asarray(soft - cv2.blur(soft, (17, 17)), np.float32)


@lru_cache(4)
def _spectrum(size: int) -> tuple[F64, F64, tuple[Array, Array]]:
    """A taper, the squares of the frequencies, and where the two bands are, for windows of a size."""
    taper = np.outer(np.hanning(size), np.hanning(size))
    rows, columns = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :]
    square = rows * rows + columns * columns
    low, high = ((square >= least * least) & (square < most * most) for least, most in (_LOW, _HIGH))
    return taper, square, (low, high)


def _variance(window: Window, patch: F32) -> float:
    """Variance of the blur of one window, px^2; NaN where frame and shot have nothing in common."""
    taper, square, bands = _spectrum(patch.shape[0])
    frame, shot = (np.fft.rfft2((v - v.mean()) * taper) for v in (window.detail, patch))
    power, cross = np.square(np.abs(frame)), (np.conj(frame) * shot).real
    told = []
    for band in bands:
        energy = float(power[band].sum())
        if not energy > 0:
            return float("nan")
        told.append((float(cross[band].sum()) / energy, float((power * square)[band].sum()) / energy))
    (coarse, at_coarse), (fine, at_fine) = told
    if not coarse > 0:
        return float("nan")
    # what is left of the fine band cannot be told from chance below a fiftieth
    return float(np.log(coarse / max(fine, 0.02 * coarse)) / (2 * np.pi**2 * (at_fine - at_coarse)))
