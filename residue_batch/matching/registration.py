"""Where the board lies in a shot: a homography from the board frame to the shot.

Coarse: ORB features of two overviews, MAGSAC. Fine: at full resolution, the
sub-pixel shift of up to 64 well-textured windows by least squares on the
frame's gradients, then the small homography that explains the shifts; kept
only if the windows correlate better. Residue covers part of the shot, so both
levels are robust: wrong features are outliers, covered pixels lose their weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from residue_batch.errors import Refusal
from residue_batch.geometry import Array, Box, Transform

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

_OVERVIEW = 1_500_000  # pixels
_FEATURES = 3000
_MIN_MATCHES = 12
_WINDOWS = 64
_MIN_WINDOWS = 6
_SIZES = (192, 128, 96, 64)
_PASSES = 2
_REMEDY = "check that the photograph shows this board type, whole, sharp and not rotated"


@dataclass(frozen=True)
class Registration:
    """Where the board lies in a shot, and how sure that is.

    Attributes
    ----------
    transform
        Frame to shot.
    inliers
        Feature matches that agree with the coarse homography.
    matches
        Feature matches tried.
    windows
        Full-resolution windows that the refinement used; 0 when the coarse homography was as good.
    correlation
        Median over the windows of the zero-mean normalised correlation of frame and
        warped shot, both high-passed; -1..1.
    residual_px
        Root mean square shift (per axis, robust) that the windows showed before the last correction, frame px.
    scale
        Shot pixels per frame pixel, at the centre of the frame.
    rotation_deg
        Of the board in the shot against the frame, counter-clockwise as seen, -180..180.
    displacement_px
        Largest movement of a corner of the frame, after the scale to shot pixels.
    perspective
        Largest relative change of scale across the frame.
    """

    transform: Transform
    inliers: int
    matches: int
    windows: int
    correlation: float
    residual_px: float
    scale: float
    rotation_deg: float
    displacement_px: float
    perspective: float


class _Window(NamedTuple):
    """A window of the frame, with the pixels that carry its texture."""

    box: Box
    patch: F32  # (n, n) blurred grey
    detail: F32  # (n, n) high-passed
    pixels: NDArray[np.intp]  # flat indices of the pixels used
    design: F32  # (4, k): d/dx, d/dy, value, 1


def register(shot: Array, frame: Array, mask: Mask, *, seed: int = 0) -> Registration:
    """Find the homography from the frame to a shot.

    Parameters
    ----------
    shot, frame
        (H, W[, C]) uint8 or uint16, C = 1 or 3 (RGB).
    mask
        (H, W) bool of the frame: where matching may look (the board outline).
    seed
        Of the random sampling; same seed, same bits.

    Raises
    ------
    Refusal
        ``registration``: too few features, no consistent homography, mirrored or degenerate.
    """
    grey_shot, grey_frame = grey(shot), grey(frame)
    if mask.shape != grey_frame.shape:
        raise ValueError(f"mask {mask.shape} does not fit the frame {grey_frame.shape}")
    coarse, inliers, matches = _coarse(grey_shot, grey_frame, mask, seed)
    _check(coarse, grey_frame.shape)
    windows = _windows(grey_frame, mask, coarse, grey_shot.shape)
    refined, used, residual, correlation = _refine(grey_shot, windows, coarse, grey_frame.shape)
    _check(refined, grey_frame.shape)
    shape = _shape_of(refined, grey_frame.shape)
    return Registration(Transform.of(refined), inliers, matches, used, correlation, residual, *shape)


def grey(image: Array) -> NDArray[np.uint8]:
    """(H, W) uint8 of an image for matching: luma of the code values; u16 is stretched to its 99.5th percentile."""
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    flat = image if image.ndim == 2 else cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    if flat.dtype == np.uint8:
        return np.ascontiguousarray(flat)
    top = max(float(np.percentile(flat[::8, ::8], 99.5)), 1.0)
    return np.asarray(cv2.convertScaleAbs(flat, alpha=250.0 / top), np.uint8)


def _overview(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    height, width = image.shape
    scale = min(1.0, (_OVERVIEW / (height * width)) ** 0.5)
    if scale < 1.0:
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    # Even contrast: the corner detector's threshold is absolute, exposure and vignetting are not.
    return np.asarray(cv2.createCLAHE(2.0, (8, 8)).apply(image), np.uint8), scale


def _features(image: NDArray[np.uint8], scale: float, mask: NDArray[np.uint8] | None) -> tuple[F64, Array]:
    orb = cv2.ORB.create(nfeatures=_FEATURES, scaleFactor=1.2, nlevels=6, fastThreshold=12)
    points, descriptors = orb.detectAndCompute(image, mask)
    if not points or descriptors is None:
        return np.zeros((0, 2)), np.zeros((0, 32), np.uint8)
    # Centres of pixels are integers at both scales.
    place = (np.array([p.pt for p in points], np.float64) + 0.5) / scale - 0.5
    return place, descriptors


def _coarse(shot: NDArray[np.uint8], frame: NDArray[np.uint8], mask: Mask, seed: int) -> tuple[F64, int, int]:
    small_frame, scale_frame = _overview(frame)
    small_shot, scale_shot = _overview(shot)
    size = (small_frame.shape[1], small_frame.shape[0])
    small_mask = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) * np.uint8(255)
    at_frame, of_frame = _features(small_frame, scale_frame, np.asarray(small_mask, np.uint8))
    at_shot, of_shot = _features(small_shot, scale_shot, None)
    if len(at_frame) < _MIN_MATCHES or len(at_shot) < _MIN_MATCHES:
        raise Refusal("registration", f"{min(len(at_frame), len(at_shot))} features found", _REMEDY)
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(of_frame, of_shot)
    if len(pairs) < _MIN_MATCHES:
        raise Refusal("registration", f"{len(pairs)} features match", _REMEDY)
    # Best first: MAGSAC's sampling and its ties then do not hang on the detector's order.
    pairs = sorted(pairs, key=lambda m: (m.distance, m.queryIdx))
    source = at_frame[[m.queryIdx for m in pairs]]
    target = at_shot[[m.trainIdx for m in pairs]]
    found, agree = _homography(source, target, 2.0 / scale_shot, seed)
    if found is None or agree.sum() < _MIN_MATCHES:
        raise Refusal("registration", f"{int(agree.sum())} of {len(pairs)} matching features agree", _REMEDY)
    return found, int(agree.sum()), len(pairs)


def _homography(source: F64, target: F64, threshold: float, seed: int) -> tuple[F64 | None, Mask]:
    parameters = cv2.UsacParams()
    parameters.randomGeneratorState = seed & 0x7FFFFFFF
    parameters.confidence = 0.9999
    parameters.maxIterations = 10000
    parameters.threshold = threshold
    parameters.score = cv2.SCORE_METHOD_MAGSAC
    parameters.sampler = cv2.SAMPLING_UNIFORM
    parameters.loMethod = cv2.LOCAL_OPTIM_SIGMA
    parameters.loIterations = 10
    parameters.loSampleSize = 50
    parameters.isParallel = False
    found, agree = cv2.findHomography(source, target, parameters)
    if found is None or not np.isfinite(found).all() or abs(found[2, 2]) < 1e-12:
        return None, np.zeros(len(source), np.bool_)
    return np.asarray(found / found[2, 2], np.float64), np.asarray(agree).ravel().astype(np.bool_)


def _jacobian(matrix: F64, x: float, y: float) -> F64:
    u, v, w = matrix @ np.array([x, y, 1.0])
    found = np.array(
        [
            [matrix[0, 0] * w - u * matrix[2, 0], matrix[0, 1] * w - u * matrix[2, 1]],
            [matrix[1, 0] * w - v * matrix[2, 0], matrix[1, 1] * w - v * matrix[2, 1]],
        ]
    )
    return np.asarray(found / (w * w))


def _corners(shape: tuple[int, ...]) -> F64:
    bottom, right = shape[0] - 1.0, shape[1] - 1.0
    return np.array([[0.0, 0.0], [right, 0.0], [0.0, bottom], [right, bottom]])


def _check(matrix: F64, shape: tuple[int, ...]) -> None:
    """Refuse what no photograph of a board can be: mirrored, folded, ten times too small."""
    corners = _corners(shape)
    depth = corners @ matrix[2, :2] + matrix[2, 2]
    if not np.isfinite(matrix).all() or depth.min() <= 0.2 * depth.max():
        raise Refusal("registration", "the homography found is degenerate", _REMEDY)
    area = [np.linalg.det(_jacobian(matrix, x, y)) for x, y in corners]
    if min(area) <= 0:
        raise Refusal("registration", "the board appears mirrored", _REMEDY)
    if max(area) > 2.0**2 * min(area):
        raise Refusal("registration", "no flat board seen from above explains the matching features", _REMEDY)
    if min(area) < 0.1**2 or max(area) > 10.0**2:
        raise Refusal("registration", f"the board appears at {min(area) ** 0.5:.2f} times its size", _REMEDY)


def _shape_of(matrix: F64, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """(scale, rotation_deg, displacement_px, perspective)."""
    corners = _corners(shape)
    centre = _jacobian(matrix, corners[3, 0] / 2, corners[3, 1] / 2)
    scale = float(np.linalg.det(centre) ** 0.5)
    turn = float(np.degrees(np.arctan2(centre[0, 1] - centre[1, 0], centre[0, 0] + centre[1, 1])))
    moved = np.linalg.norm(Transform.of(matrix).apply(corners) - corners * scale, axis=1)
    at_corners = [np.linalg.det(_jacobian(matrix, x, y)) ** 0.5 for x, y in corners]
    return scale, turn, float(moved.max()), float(max(at_corners) / min(at_corners) - 1.0)


def _detail(patch: F32) -> F32:
    return np.asarray(patch - cv2.blur(patch, (17, 17)), np.float32)


def _windows(frame: NDArray[np.uint8], mask: Mask, coarse: F64, shot_shape: tuple[int, ...]) -> list[_Window]:
    """Up to 64 windows inside the mask and the photograph: the best-textured of each part of the board."""
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
                if inside >= 0.8 and _seen(box, coarse, shot_shape):
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


def _seen(box: Box, matrix: F64, shape: tuple[int, ...]) -> bool:
    corners = [[box.left, box.top], [box.right, box.top], [box.left, box.bottom], [box.right, box.bottom]]
    x, y = Transform.of(matrix).apply(np.array(corners, np.float64)).T
    return bool(x.min() >= 2 and y.min() >= 2 and x.max() <= shape[1] - 3 and y.max() <= shape[0] - 3)


def _window(frame: NDArray[np.uint8], box: Box) -> _Window | None:
    plain = frame[box.within(Box.whole(frame.shape))].astype(np.float32)
    patch = np.asarray(cv2.GaussianBlur(plain, (7, 7), 1.0), np.float32)
    dx = cv2.Sobel(patch, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    dy = cv2.Sobel(patch, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    steep = dx * dx + dy * dy
    edge = 4  # the blur and the gradient see the window's border
    steep[:edge], steep[-edge:], steep[:, :edge], steep[:, -edge:] = 0, 0, 0, 0
    # Where the frame has edges: little of the shift is told elsewhere.
    index = np.flatnonzero(steep.ravel() > max(float(np.quantile(steep[::2, ::2], 0.8)), 1.0))
    if len(index) < 64:
        return None
    design = np.stack([dx.ravel()[index], dy.ravel()[index], patch.ravel()[index], np.ones(len(index))])
    return _Window(box, patch, _detail(patch), index, design.astype(np.float32))


def _refine(
    shot: NDArray[np.uint8], windows: list[_Window], coarse: F64, shape: tuple[int, ...]
) -> tuple[F64, int, float, float]:
    """(matrix, windows used, residual px, correlation); the coarse matrix when refining does not pay."""
    if len(windows) < _MIN_WINDOWS:
        raise Refusal("registration", f"{len(windows)} textured windows of the board are in the photograph", _REMEDY)
    half = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2])
    unit = np.array([[half.max(), 0, half[0]], [0, half.max(), half[1]], [0, 0, 1]])
    centres = np.array([[w.box.left + w.box.right - 1, w.box.top + w.box.bottom - 1] for w in windows]) / 2.0
    places = (centres - half) / half.max()
    matrix, used, seen = coarse, 0, []
    warped = [_warped(shot, w, matrix) for w in windows]
    before = _correlations(warped, windows)
    for _ in range(_PASSES):
        told = [_shift(w, p) for w, p in zip(windows, warped, strict=True)]
        shifts = np.array([t[0] for t in told])
        information = np.array([t[1] for t in told])
        small, used, rms = _small_homography(places, shifts / half.max(), information, 1.0 / half.max())
        seen.append(rms * float(half.max()))
        matrix = matrix @ unit @ small @ np.linalg.inv(unit)
        matrix = matrix / matrix[2, 2]
        warped = [_warped(shot, w, matrix) for w in windows]
    after = _correlations(warped, windows)
    if not np.isfinite(seen).all():
        raise Refusal("registration", "the windows of the board do not fit one homography", _REMEDY)
    # The mean, not the median: one good corner must not be paid with another.
    if not after.mean() >= before.mean():
        return coarse, 0, seen[0], float(np.median(before))
    return matrix, used, seen[-1], float(np.median(after))


def _warped(shot: NDArray[np.uint8], window: _Window, matrix: F64) -> F32:
    transform = Transform.of(matrix)
    map_x, map_y = transform.maps(window.box)
    whole = Box.whole(shot.shape)
    source = transform.source_box(window.box, whole, margin=4)
    if not source.pixels:
        return np.zeros(window.box.shape, np.float32)
    map_x -= np.float32(source.left)
    map_y -= np.float32(source.top)
    patch = cv2.remap(source.crop(shot, whole), map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.GaussianBlur(patch.astype(np.float32), (7, 7), 1.0), np.float32)


def _correlations(warped: list[F32], windows: list[_Window]) -> F64:
    found = []
    for window, patch in zip(windows, warped, strict=True):
        a, b = window.detail.ravel(), _detail(patch).ravel()
        a, b = a - a.mean(), b - b.mean()
        norm = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
        found.append(float((a * b).sum()) / norm if norm > 0 else 0.0)
    return np.array(found, np.float64)


def _shift(window: _Window, patch: F32) -> tuple[F64, F64]:
    """The shift (x, y) that explains ``patch`` as the moved frame, and its 2x2 information.

    Least squares for shot = g frame + o + g d . grad(frame), with Tukey weights:
    pixels under residue or glare do not follow and drop out.
    """
    design, value = window.design, patch.ravel()[window.pixels]
    weight = np.ones(len(value), np.float32)
    solved: F64 = np.zeros(4)
    noise = 1.0
    normal = np.eye(4)
    for _ in range(4):
        # einsum, not @: BLAS sums depend on the number of threads
        weighted = design * weight
        normal = np.einsum("ik,jk->ij", weighted, design).astype(np.float64)
        right = np.einsum("ik,k->i", weighted, value).astype(np.float64)
        try:
            solved = np.asarray(np.linalg.solve(normal + 1e-3 * np.eye(4), right))
        except np.linalg.LinAlgError:
            return np.zeros(2), np.zeros((2, 2))
        rest = value - np.einsum("ik,i->k", design, solved.astype(np.float32))
        noise = max(1.4826 * float(np.median(np.abs(rest[::4]))), 0.5)
        weight = np.square(np.clip(1.0 - np.square(rest / (4.685 * noise)), 0.0, None))
    gain = solved[2]
    if gain < 0.1:
        return np.zeros(2), np.zeros((2, 2))
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
        normal = np.einsum("nik,nij,njl,n->kl", design, weights, design, robust)
        right = np.einsum("nik,nij,nj,n->k", design, weights, -shifts, robust)
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
