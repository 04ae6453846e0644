"""Registration at full resolution: the sub-pixel shift of textured windows, and the homography they agree on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from residue_batch import kernels
from residue_batch.bend import POWERS, Bend
from residue_batch.errors import Refusal
from residue_batch.geometry import Box, Transform
from residue_batch.matching.bending import MIN_WINDOWS, bend_of, pays, promises

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

REMEDY = "check that the photograph shows this board type, whole, sharp and not rotated"
_WINDOWS = 36
_MIN_WINDOWS = 6
_SIZES = (192, 128, 96, 64)
_PASSES = 2
_ROUNDS = 4  # of reweighting
_BENDS = 3


class Window(NamedTuple):
    """A window of the frame, with the pixels that carry its texture."""

    box: Box
    detail: F32  # (n, n) high-passed, of mean 0
    pixels: NDArray[np.int32]  # flat indices of the pixels used
    design: F32  # (4, k): d/dx, d/dy, value, 1


def _detail(patch: F32) -> F32:
    return np.asarray(patch - cv2.blur(patch, (17, 17)), np.float32)


def windows_of(frame: NDArray[np.uint8], mask: Mask) -> list[Window]:
    """Up to 36 windows inside the mask: the best-textured of each part of the board."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        raise Refusal("registration", "the outline is empty", "check the outline of the board type")
    area = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    candidates: list[tuple[Box, float]] = []
    for size in _SIZES:
        candidates = []
        for top in range(area.top, area.bottom - size + 1, size):
            for left in range(area.left, area.right - size + 1, size):
                box = Box(top, left, top + size, left + size)
                inside = mask[box.within(Box.whole(mask.shape))][::8, ::8].mean()
                if inside >= 0.8:
                    step = frame[box.within(Box.whole(mask.shape))][::2, ::2].astype(np.float32)
                    texture = min(np.abs(np.diff(step, axis=0)).mean(), np.abs(np.diff(step, axis=1)).mean())
                    candidates.append((box, float(texture)))
        if len(candidates) >= _WINDOWS // 2:
            break
    best: dict[tuple[int, int], tuple[Box, float]] = {}
    side = int(_WINDOWS**0.5)
    for box, texture in candidates:
        key = ((box.top - area.top) * side // area.shape[0], (box.left - area.left) * side // area.shape[1])
        if key not in best or texture > best[key][1]:
            best[key] = (box, texture)
    return [w for w in (_window(frame, box) for box, texture in best.values() if texture > 0.5) if w is not None]


def seen_in(box: Box, transform: Transform, shape: tuple[int, ...]) -> bool:
    """Whether a photograph of this shape shows the whole box."""
    corners = [[box.left, box.top], [box.right, box.top], [box.left, box.bottom], [box.right, box.bottom]]
    x, y = transform.apply(np.array(corners, np.float64)).T
    return bool(x.min() >= 2 and y.min() >= 2 and x.max() <= shape[1] - 3 and y.max() <= shape[0] - 3)


def _window(frame: NDArray[np.uint8], box: Box) -> Window | None:
    plain = frame[box.within(Box.whole(frame.shape))].astype(np.float32)
    patch = np.asarray(cv2.GaussianBlur(plain, (7, 7), 1.0), np.float32)
    dx = cv2.Sobel(patch, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    dy = cv2.Sobel(patch, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    steep = dx * dx + dy * dy
    edge = 4  # the blur and the gradient see the window's border
    steep[:edge], steep[-edge:], steep[:, :edge], steep[:, -edge:] = 0, 0, 0, 0
    # Where the frame has edges: little of the shift is told elsewhere.
    index = np.flatnonzero(steep.ravel() > max(float(np.quantile(steep[::2, ::2], 0.88)), 1.0))
    if len(index) < 64:
        return None
    design = np.stack([dx.ravel()[index], dy.ravel()[index], patch.ravel()[index], np.ones(len(index))])
    detail = _detail(patch)
    return Window(box, detail - detail.mean(), index.astype(np.int32), design.astype(np.float32))


def refine(
    shot: NDArray[np.uint8], windows: Sequence[Window], coarse: F64, shape: tuple[int, ...]
) -> tuple[Transform, int, float, float]:
    """(transform, windows used, residual px, correlation); the coarse matrix when refining does not pay."""
    if len(windows) < _MIN_WINDOWS:
        raise Refusal("registration", f"{len(windows)} textured windows of the board are in the photograph", REMEDY)
    half = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2])
    unit = np.array([[half.max(), 0, half[0]], [0, half.max(), half[1]], [0, 0, 1]])
    centres = np.array([[w.box.left + w.box.right - 1, w.box.top + w.box.bottom - 1] for w in windows]) / 2.0
    places = (centres - half) / half.max()
    matrix, used, seen = coarse, 0, []
    warped = first = _all_warped(shot, windows, Transform.of(matrix))
    before = _correlations(warped, windows)
    for _ in range(_PASSES):
        shifts, information = _told(windows, warped)
        small, used, rms = _small_homography(places, shifts / half.max(), information, 1.0 / half.max())
        seen.append(rms * float(half.max()))
        matrix = matrix @ unit @ small @ np.linalg.inv(unit)
        matrix = matrix / matrix[2, 2]
        warped = _all_warped(shot, windows, Transform.of(matrix))
    after = _correlations(warped, windows)
    if not np.isfinite(seen).all():
        raise Refusal("registration", "the windows of the board do not fit one homography", REMEDY)
    # The mean, not the median: one good corner must not be paid with another.
    if not after.mean() >= before.mean():
        matrix, used, seen, after, warped = coarse, 0, seen[:1], before, first
    bent = _bent(shot, windows, Transform.of(matrix), places, (half, float(half.max())), warped)
    if bent is None or not bent[2].mean() > after.mean():
        return Transform.of(matrix), used, seen[-1], float(np.median(after))
    return bent[0], len(windows), bent[1], float(np.median(bent[2]))


def _bent(
    shot: NDArray[np.uint8],
    windows: Sequence[Window],
    straight: Transform,
    places: F64,
    units: tuple[F64, float],
    warped: Sequence[F32],
) -> tuple[Transform, float, F64] | None:
    """(bent transform, residual px, correlations), where the windows show that the board or the image is bent."""
    if len(windows) < MIN_WINDOWS:
        return None
    coefficients, transform, misfits = np.zeros((2, len(POWERS))), straight, list[float]()
    for turn in range(1 + _BENDS):
        found, left, predicted = bend_of(places, *_told(windows, warped))
        misfits.append(left)
        if turn == _BENDS:
            break
        if turn == 0 and not promises(left, predicted):
            return None
        coefficients = coefficients + found
        centre = float(units[0][0]), float(units[0][1])
        along, down = (tuple(float(v) for v in axis) for axis in coefficients)
        transform = Transform(straight.matrix, Bend(centre, units[1], along, down))
        warped = _all_warped(shot, windows, transform)
    return (transform, misfits[-1], _correlations(warped, windows)) if pays(misfits[0], misfits[-1]) else None


def _told(windows: Sequence[Window], warped: Sequence[F32]) -> tuple[F64, F64]:
    """The windows' shifts (n, 2), px, and their information (n, 2, 2)."""
    told = [_shift(w, p) for w, p in zip(windows, warped, strict=True)]
    return np.array([t[0] for t in told]), np.array([t[1] for t in told])


def _all_warped(shot: NDArray[np.uint8], windows: Sequence[Window], transform: Transform) -> list[F32]:
    """The shot on each window of the frame, smoothed as the frame is."""
    numbers = transform.numbers
    patches = (kernels.cubic_window(shot, *numbers, window.box) for window in windows)
    return [np.asarray(cv2.GaussianBlur(patch, (7, 7), 1.0), np.float32) for patch in patches]


def _correlations(warped: Sequence[F32], windows: Sequence[Window]) -> F64:
    found = []
    for window, patch in zip(windows, warped, strict=True):
        a, b = window.detail.ravel(), _detail(patch).ravel()
        b -= b.mean()
        norm = math.sqrt(_product(a, a) * _product(b, b))
        found.append(_product(a, b) / norm if norm > 0 else 0.0)
    return np.array(found, np.float64)


def _product(a: F32, b: F32) -> float:
    return float(np.einsum("i,i->", a, b))  # no BLAS: its sums depend on the number of threads


def _shift(window: Window, patch: F32) -> tuple[F64, F64]:
    """The shift (x, y) that explains ``patch`` as the moved frame, and its 2x2 information.

    Least squares for shot = g frame + o + g d . grad(frame), with Tukey weights:
    pixels under residue or glare do not follow and drop out.
    """
    found = kernels.shift(window.design, patch.ravel()[window.pixels], _ROUNDS)
    if found is None or found[0][2] < 0.1:
        return np.zeros(2), np.zeros((2, 2))
    solved, normal, noise = found
    gain = solved[2]
    shift = np.clip(solved[:2] / gain, -3.0, 3.0)
    return shift, normal[:2, :2] * (gain / noise) ** 2


def _small_homography(places: F64, shifts: F64, information: F64, pixel: float) -> tuple[F64, int, float]:
    """The near-identity homography that undoes the shifts, (used, rms residual in the units of ``places``).

    Robust: a window whose shift is far off the common motion loses its weight.
    ``pixel`` is one frame pixel in those units: the scale is kept above 0.03 px.
    """
    x, y = places.T
    zero, one = np.zeros_like(x), np.ones_like(x)
    # d = P (x, y, 1) linearised at the identity, eight parameters
    along = np.stack([x, y, one, zero, zero, zero, -x * x, -x * y], 1)
    across = np.stack([zero, zero, zero, x, y, one, -x * y, -y * y], 1)
    design = np.stack([along, across], 1)  # (n, 2, 8)
    trace = np.einsum("nii->n", information)
    # No window rules: information is capped at three times the median.
    cap = 3.0 * float(np.median(trace)) if len(trace) else 1.0
    weights = information * np.minimum(1.0, cap / np.maximum(trace, 1e-12))[:, None, None]
    robust = np.where(trace > 0, 1.0, 0.0)
    solved, rest = np.zeros(8), shifts
    scale = pixel
    for _ in range(8):
        weighted = np.einsum("nij,njl->nil", weights * robust[:, None, None], design)
        normal = np.einsum("nik,nil->kl", design, weighted)
        right = np.einsum("nil,ni->l", weighted, -shifts)
        damping = 1e-6 * np.trace(normal) / 8 + 1e-12
        solved = np.linalg.solve(normal + damping * np.eye(8), right)
        rest = -shifts - design @ solved
        size = np.sqrt(np.square(rest).sum(1))
        scale = max(float(np.median(size[trace > 0])) / 1.1774 if (trace > 0).any() else pixel, 0.03 * pixel)
        robust = np.where(trace > 0, np.square(np.clip(1.0 - np.square(size / (5.0 * scale)), 0.0, None)), 0.0)
    p = solved
    small = np.eye(3) + np.array([[p[0], p[1], p[2]], [p[3], p[4], p[5]], [p[6], p[7], 0.0]])
    size = np.sqrt(np.square(shifts).sum(1))
    good = robust > 0.1
    return small, int(good.sum()), float(np.sqrt(np.square(size[good]).mean() / 2)) if good.any() else float("nan")
