"""How well a photograph was taken, against the frame: its blur, and what of the board is burnt out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

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


class Band(NamedTuple):
    """A band of frequency of a window of the frame.

    ``places`` are the flat indices of a real spectrum, ``values`` the frame's there, conjugate; ``power`` is the sum of
    their squares, ``square`` the mean square of the frequency under them.
    """

    places: NDArray[np.intp]
    values: NDArray[np.complex128]
    power: float
    square: float


class Detail(NamedTuple):
    """What of a window of the frame its blur is told from: in two bands of frequency."""

    box: Box
    bands: tuple[Band, Band]


@lapped("quality")
def quality_of(shot: Array, seen: U8, transform: Transform, details: Sequence[Detail], points: F64) -> Quality:
    """Blur and saturation of a registered shot.

    Parameters
    ----------
    shot
        (H, W[, C]) as decoded.
    seen
        The same in grey, from `registration.grey`.
    transform
        Frame to shot.
    details
        Of the frame, from `details_of`.
    points
        (n, 2) [x, y] of the frame, from `board_points`.
    """
    return Quality(blur_of(seen, transform, details), saturated(shot, transform, points))


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


def details_of(windows: Sequence[Window]) -> list[Detail]:
    """What the blur of shots is told from: every few of a frame's windows, where they have detail in both bands."""
    found = []
    for window in windows[:: max(1, -(-len(windows) // _WINDOWS))]:
        spectrum = _spectrum(window.detail).ravel()
        rows, columns = np.fft.fftfreq(window.detail.shape[0])[:, None], np.fft.rfftfreq(window.detail.shape[1])
        square = (rows * rows + columns * columns).ravel()
        bands = []
        for least, most in (_LOW, _HIGH):
            places = np.flatnonzero((square >= least * least) & (square < most * most))
            values = np.conj(spectrum[places])
            power = np.square(np.abs(values))
            total = float(power.sum())
            bands.append(Band(places, values, total, float((power * square[places]).sum()) / total if total else 0.0))
        if bands[0].power > 0 and bands[1].power > 0:
            found.append(Detail(window.box, (bands[0], bands[1])))
    return found


def blur_of(seen: U8, transform: Transform, details: Sequence[Detail]) -> float:
    """Sigma (frame px) of the blur of a grey shot against the frame; negative when it is sharper.

    The transfer function from frame to shot, |<conj F S>| / <|F|^2>, is taken in two bands of frequency; a Gaussian
    leaves exp(-2 pi^2 sigma^2 f^2). Noise and residue have nothing in common with the frame and drop out.
    """
    found = [v for v in (_variance(d, _patch(seen, transform, d.box)) for d in details) if np.isfinite(v)]
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
def _taper(size: int) -> F64:
    return np.outer(np.hanning(size), np.hanning(size))


def _spectrum(patch: F32) -> NDArray[np.complex128]:
    return np.fft.rfft2((patch - patch.mean()) * _taper(patch.shape[0]))


def _variance(detail: Detail, patch: F32) -> float:
    """Variance of the blur of one window, px^2; NaN where frame and shot have nothing in common."""
    spectrum = _spectrum(patch).ravel()
    coarse, fine = (float((band.values * spectrum[band.places]).real.sum()) / band.power for band in detail.bands)
    if not coarse > 0:
        return float("nan")
    # what is left of the fine band cannot be told from chance below a fiftieth
    squares = detail.bands[1].square - detail.bands[0].square
    return float(np.log(coarse / max(fine, 0.02 * coarse)) / (2 * np.pi**2 * squares))
