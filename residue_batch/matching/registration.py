"""Where the board lies in a shot: a homography from the board frame to the shot.

Coarse: ORB features of two overviews, MAGSAC. Fine: at full resolution, the
sub-pixel shift of up to 36 well-textured windows by least squares on the
frame's gradients, then the small homography that explains the shifts; kept
only if the windows correlate better. Residue covers part of the shot, so both
levels are robust: wrong features are outliers, covered pixels lose their weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from residue_batch import kernels
from residue_batch.errors import Refusal
from residue_batch.geometry import Array, Transform
from residue_batch.laps import lapped
from residue_batch.matching.windows import REMEDY, Window, refine, seen_in, windows_of

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

_OVERVIEW = 1_500_000  # pixels, about
_FEATURES = 2000
_CORNERS = (40, 12)
"""How much a corner stands out, code values. The best are wanted; faint ones are looked for where there are too few."""
_MIN_MATCHES = 12


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


@dataclass(frozen=True, eq=False)
class Target:
    """A frame made ready for registration: its features and its well-textured windows."""

    shape: tuple[int, int]
    places: F64
    descriptors: Array
    windows: tuple[Window, ...]


def target_of(frame: Array, mask: Mask) -> Target:
    """Prepare a frame once for all its shots.

    Parameters
    ----------
    frame
        (H, W[, C]) uint8 or uint16, C = 1 or 3 (RGB).
    mask
        (H, W) bool: where matching may look (the board outline).

    Raises
    ------
    Refusal
        ``registration``: the mask is empty.
    """
    image = grey(frame)
    if mask.shape != image.shape:
        raise ValueError(f"mask {mask.shape} does not fit the frame {image.shape}")
    small, factor = _overview(image)
    small_mask = mask[factor // 2 :: factor, factor // 2 :: factor][: small.shape[0], : small.shape[1]]
    places, descriptors = _features(small, factor, small_mask * np.uint8(255))
    return Target((image.shape[0], image.shape[1]), places, descriptors, tuple(windows_of(image, mask)))


@lapped("register")
def register(shot: Array, target: Target, *, seed: int = 0) -> Registration:
    """Find the homography from the frame to a shot.

    Parameters
    ----------
    shot
        (H, W[, C]) uint8 or uint16, C = 1 or 3 (RGB).
    target
        The frame, from `target_of`.
    seed
        Of the random sampling; same seed, same bits.

    Raises
    ------
    Refusal
        ``registration``: too few features, no consistent homography, mirrored or degenerate.
    """
    image = grey(shot)
    coarse, inliers, matches = _coarse(image, target, seed)
    _check(coarse, target.shape)
    straight = Transform.of(coarse)
    windows = [window for window in target.windows if seen_in(window.box, straight, image.shape)]
    refined, used, residual, correlation = refine(image, windows, coarse, target.shape)
    _check(refined.array, target.shape)
    shape = _shape_of(refined.array, target.shape)
    return Registration(refined, inliers, matches, used, correlation, residual, *shape)


def grey(image: Array) -> NDArray[np.uint8]:
    """(H, W) uint8 of an image for matching: luma of the code values; u16 is stretched to its 99.5th percentile."""
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    flat = image if image.ndim == 2 else cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    if flat.dtype == np.uint8:
        return np.ascontiguousarray(flat)
    top = max(float(np.percentile(flat[::8, ::8], 99.5)), 1.0)
    return np.asarray(cv2.convertScaleAbs(flat, alpha=250.0 / top), np.uint8)


def _overview(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    """The image in blocks of factor x factor px, and the factor."""
    height, width = image.shape
    factor = max(round((height * width / _OVERVIEW) ** 0.5), 1)
    if factor == 2:  # of which OpenCV has a fast way, that rounds halves up
        half = (width // 2, height // 2)
        image = np.asarray(cv2.resize(image[: 2 * half[1], : 2 * half[0]], half, interpolation=cv2.INTER_AREA))
    elif factor > 1:
        image = kernels.block_means(image[..., None], factor, factor)[..., 0]
    # Even contrast: the corner detector's threshold is absolute, exposure and vignetting are not.
    return np.asarray(cv2.createCLAHE(2.0, (8, 8)).apply(image), np.uint8), factor


def _features(image: NDArray[np.uint8], factor: int, mask: NDArray[np.uint8] | None) -> tuple[F64, Array]:
    for threshold in _CORNERS:
        orb = cv2.ORB.create(nfeatures=_FEATURES, scaleFactor=1.2, nlevels=6, fastThreshold=threshold)
        points, descriptors = orb.detectAndCompute(image, mask)
        if len(points) == _FEATURES:
            break
    if not points or descriptors is None:
        return np.zeros((0, 2)), np.zeros((0, 32), np.uint8)
    found = np.array([p.pt for p in points], np.float64)
    # the detector's order hangs on how many corners it has left out
    order = np.lexsort((found[:, 0], found[:, 1], np.array([p.octave for p in points])))
    # Centres of pixels are integers at both scales.
    return (found[order] + 0.5) * factor - 0.5, descriptors[order]


def _coarse(shot: NDArray[np.uint8], target: Target, seed: int) -> tuple[F64, int, int]:
    small_shot, factor = _overview(shot)
    at_shot, of_shot = _features(small_shot, factor, None)
    at_frame, of_frame = target.places, target.descriptors
    if len(at_frame) < _MIN_MATCHES or len(at_shot) < _MIN_MATCHES:
        raise Refusal("registration", f"{min(len(at_frame), len(at_shot))} features found", REMEDY)
    pairs = kernels.mutual_nearest(of_frame, of_shot)
    if len(pairs) < _MIN_MATCHES:
        raise Refusal("registration", f"{len(pairs)} features match", REMEDY)
    # Best first: MAGSAC's sampling and its ties then do not hang on the detector's order.
    pairs = pairs[np.lexsort((pairs[:, 0], pairs[:, 2]))]
    found, agree = _homography(at_frame[pairs[:, 0]], at_shot[pairs[:, 1]], 2.0 * factor, seed)
    if found is None or agree.sum() < _MIN_MATCHES:
        raise Refusal("registration", f"{int(agree.sum())} of {len(pairs)} matching features agree", REMEDY)
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
        raise Refusal("registration", "the homography found is degenerate", REMEDY)
    area = [np.linalg.det(_jacobian(matrix, x, y)) for x, y in corners]
    if min(area) <= 0:
        raise Refusal("registration", "the board appears mirrored", REMEDY)
    if max(area) > 2.0**2 * min(area):
        raise Refusal("registration", "no flat board seen from above explains the matching features", REMEDY)
    if min(area) < 0.1**2 or max(area) > 10.0**2:
        raise Refusal("registration", f"the board appears at {min(area) ** 0.5:.2f} times its size", REMEDY)


def _shape_of(matrix: F64, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """(scale, rotation_deg, displacement_px, perspective)."""
    corners = _corners(shape)
    centre = _jacobian(matrix, corners[3, 0] / 2, corners[3, 1] / 2)
    scale = float(np.linalg.det(centre) ** 0.5)
    turn = float(np.degrees(np.arctan2(centre[0, 1] - centre[1, 0], centre[0, 0] + centre[1, 1])))
    moved = np.linalg.norm(Transform.of(matrix).apply(corners) - corners * scale, axis=1)
    at_corners = [np.linalg.det(_jacobian(matrix, x, y)) ** 0.5 for x, y in corners]
    return scale, turn, float(moved.max()), float(max(at_corners) / min(at_corners) - 1.0)
