"""What is wrong with a pair: one photograph twice, or a shot that shows something else.

`copied` asks whether two shots are one exposure. Two exposures have each their own noise; and where
a copy was compressed again, so that its noise is gone, it still lies on the original exactly, shows the same
to a grey level, and is another kind of file. `diagnose` says why a shot does not fit the frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import cv2
import numpy as np
from numpy.typing import NDArray

from residue_batch.errors import Refusal
from residue_batch.geometry import Array, Transform
from residue_batch.matching.registration import Registration, Target, grey, register, target_of
from residue_batch.matching.similarity import relative_blur

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

STRAIGHT = 0.5
"""How far (px) the corners of a copy may seem to be off a pure scale and shift: what two registrations leave open."""

_SIDE = 96  # px of a window
_WINDOWS = 36
_BLOCK = 16  # px: compression error is averaged out, a deposit is not
_CLIPPED = 0.05  # of what a pixel is interpolated from
_SAME = 3.0  # grey levels that blocks may differ by
_NOISE = 0.4  # levels: rounding after an edit leaves 0.25, two exposures of an 8-bit camera 0.6 and more ...
_ALIKE = 0.35  # ... and where compression has smoothed both, whole blocks of two exposures are 0.5 apart
_EVEN = 3.0  # grey levels: an overview without any picture in it
_DARK, _BRIGHT = 10, 245
_SOFT = 1.8  # px of an overview: sharp shots of different boards are up to 1.5 apart
_OVERVIEW = 1000  # px, longer side


@dataclass(frozen=True)
class Likeness:
    """How far two shots that lie on each other are the same exposure.

    Attributes
    ----------
    straight_px
        How far the corners are off a pure scale and shift; a photograph taken again is rarely below 0.5.
    differ
        What 98 % of the 16-px blocks differ by at most once the tones are matched, grey levels of 256.
    noise
        Robust scale of the fine differences, grey levels: two exposures have independent noise. Infinite where
        the blocks differ already.
    """

    straight_px: float
    differ: float
    noise: float

    @property
    def aligned(self) -> bool:
        return self.straight_px <= STRAIGHT

    @property
    def same_content(self) -> bool:
        return self.aligned and self.differ <= _SAME

    def copied(self, *, unlike: bool) -> bool:
        """Whether one is a copy of the other; ``unlike``: they differ in format, size or compression."""
        return self.same_content and (unlike or (self.noise < _NOISE and self.differ < _ALIKE))


def straightness(relative: Transform, shape: tuple[int, int]) -> tuple[float, F64]:
    """How far (px) the corners of a picture are off a pure scale and shift, and that: (scale x, y, shift x, y)."""
    bottom, right = shape[0] - 1.0, shape[1] - 1.0
    corners = np.array([[0.0, 0.0], [right, 0.0], [0.0, bottom], [right, bottom]])
    moved = relative.apply(corners)
    fit = []
    for axis in (0, 1):
        design = np.stack([corners[:, axis], np.ones(4)], 1)
        fit.append(np.linalg.lstsq(design, moved[:, axis], rcond=None)[0])
    told = np.array([fit[0][0], fit[1][0], fit[0][1], fit[1][1]])
    off = np.linalg.norm(moved - (corners * told[:2] + told[2:]), axis=1)
    return float(off.max()), told


def likeness(a: Array, b: Array, relative: Transform) -> Likeness:
    """How far two shots are the same exposure.

    Parameters
    ----------
    a, b
        (H, W[, C]) as decoded; may differ in size.
    relative
        From pixels of ``a`` to pixels of ``b``.
    """
    nothing = float("inf")
    off, told = straightness(relative, (a.shape[0], a.shape[1]))
    if not (off <= STRAIGHT and told[:2].min() > 0.1):
        return Likeness(off, nothing, nothing)
    if np.abs(told[:2] - 1).max() * max(a.shape[:2]) < STRAIGHT:
        told[:2] = 1.0
        # a copy that was cut lies on whole pixels; interpolation would take its noise
        whole = np.rint(told[2:])
        told[2:] = np.where(np.abs(told[2:] - whole) < STRAIGHT, whole, told[2:])
    places = [place for place in (_window(b.shape, told, y, x) for y, x in _lattice(a.shape)) if place is not None]
    if len(places) < 4:
        return Likeness(off, nothing, nothing)
    one, clipped = _levels([a[here] for here, _ in places])
    other, beyond = _levels([b[there] for _, there in places]) if _on_pixels(told) else _warped(b, told, places)
    return Likeness(off, *_differences(one, other, ~(clipped | beyond)))


def _lattice(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    height, width = shape[0] - _SIDE, shape[1] - _SIDE
    if min(height, width) < 0:
        return []
    pitch = max(_SIDE, int((shape[0] * shape[1] / _WINDOWS) ** 0.5))
    return [(y, x) for y in range(0, height + 1, pitch) for x in range(0, width + 1, pitch)]


Slices = tuple[slice, slice]


def _on_pixels(told: F64) -> bool:
    return bool((told[:2] == 1).all() and (told[2:] == np.rint(told[2:])).all())


def _window(shape: tuple[int, ...], told: F64, top: int, left: int) -> tuple[Slices, Slices] | None:
    """Where a window lies in both, with what interpolation needs around it; None where it is cut off."""
    sx, sy, dx, dy = (float(v) for v in told)
    x0, y0 = int(np.floor(sx * left + dx)) - 2, int(np.floor(sy * top + dy)) - 2
    x1, y1 = int(np.ceil(sx * (left + _SIDE) + dx)) + 3, int(np.ceil(sy * (top + _SIDE) + dy)) + 3
    if _on_pixels(told):
        x0, y0, x1, y1 = left + int(dx), top + int(dy), left + int(dx) + _SIDE, top + int(dy) + _SIDE
    if x0 < 0 or y0 < 0 or x1 > shape[1] or y1 > shape[0]:
        return None
    return (slice(top, top + _SIDE), slice(left, left + _SIDE)), (slice(y0, y1), slice(x0, x1))


def _warped(b: Array, told: F64, places: Sequence[tuple[Slices, Slices]]) -> tuple[F32, NDArray[np.bool_]]:
    """Levels of the second shot on the windows of the first, and where they come near to what is clipped."""
    sx, sy, dx, dy = (float(v) for v in told)
    flags, found = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, []
    for (rows, columns), there in places:
        (level,), (clipped,) = _levels([b[there]])
        x, y = sx * columns.start + dx - there[1].start, sy * rows.start + dy - there[0].start
        matrix = np.array([[sx, 0.0, x], [0.0, sy, y]])
        found.append(
            [cv2.warpAffine(v, matrix, (_SIDE, _SIDE), flags=flags) for v in (level, clipped.astype(np.float32))]
        )
    levels, near = (np.stack(windows) for windows in zip(*found, strict=True))
    return np.asarray(levels, np.float32), near >= _CLIPPED


def _levels(pieces: Sequence[Array]) -> tuple[F32, NDArray[np.bool_]]:
    """Luma (n, h, w) in grey levels of 256, and where a channel is clipped: it does not follow the tones."""
    level = np.iinfo(pieces[0].dtype).max / 255
    channels = cv2.split(np.concatenate(pieces))
    weights = (0.299, 0.587, 0.114) if len(channels) == 3 else (1.0,)
    luma = reduce(np.add, [np.float32(w / level) * c for w, c in zip(weights, channels, strict=True)])
    clipped = (reduce(np.maximum, channels) > int(248 * level)) | (reduce(np.minimum, channels) < int(3 * level))
    shape = (len(pieces), *pieces[0].shape[:2])
    return luma.reshape(shape), clipped.reshape(shape)


def _differences(a: F32, b: F32, free: NDArray[np.bool_]) -> tuple[float, float]:
    """(what blocks differ by, scale of the fine differences) after matching the tones by a cubic.

    Parameters
    ----------
    a, b, free
        (n, side, side): luma of both, and where neither is clipped.
    """
    count = _SIDE // _BLOCK
    whole = _block_means(free) == 1
    if whole.sum() < 4 * count:
        return float("inf"), float("inf")
    x, y = (_block_means(v)[whole].astype(np.float64) for v in (a, b))
    design, weight = _cubic(x), np.ones(len(x))
    solved, rest = np.zeros(4), y
    for _ in range(6):
        solved = np.linalg.lstsq(design * weight[:, None], y * weight, rcond=None)[0]
        rest = y - design @ solved
        scale = max(1.4826 * float(np.median(np.abs(rest))), 0.05)
        weight = 1.0 / (1.0 + np.square(rest / (3.0 * scale)))
    differ = float(np.quantile(np.abs(rest), 0.98))
    if differ > _SAME:
        return differ, float("inf")
    apart = b - (_cubic(a.ravel()) @ solved).reshape(a.shape).astype(np.float32)
    found = []
    for window, inside in zip(apart, free, strict=True):
        if inside.mean() > 0.5:
            fine = window - cv2.GaussianBlur(window, (0, 0), 2.0)
            found.append(1.4826 * float(np.median(np.abs(fine[inside]))))
    # the medians: what is clipped, or a date that was stamped on, spoils its neighbourhood only
    return differ, float(np.median(found)) if found else float("inf")


def _block_means(windows: Array) -> F32:
    count = _SIDE // _BLOCK
    flat = windows.reshape(-1, _SIDE).astype(np.float32, copy=False)
    means = cv2.resize(flat, (count, len(windows) * count), interpolation=cv2.INTER_AREA)
    return np.asarray(means, np.float32).ravel()


def _cubic(level: Array) -> F64:
    z = np.asarray(level, np.float64) / 128.0 - 1.0
    return np.stack([np.ones_like(z), z, z * z, z * z * z], 1)


# why a shot does not fit --------------------------------------------------------------


def overview(image: Array) -> NDArray[np.uint8]:
    """A photograph as uint8 grey, longer side at most 1000 px."""
    flat = grey(image)
    scale = min(1.0, _OVERVIEW / max(flat.shape))
    size = (max(round(flat.shape[1] * scale), 8), max(round(flat.shape[0] * scale), 8))
    return np.asarray(cv2.resize(flat, size, interpolation=cv2.INTER_AREA), np.uint8)


def diagnose(shot: Array, frame: Array, mask: NDArray[np.bool_], name: str, found: str, *, min_inliers: int) -> Refusal:
    """Why a shot cannot be laid over the frame, most evident cause first.

    Parameters
    ----------
    shot, frame
        (H, W[, C]) as decoded.
    mask
        (h, w) bool: the board in the frame.
    name
        What to call the shot: ``before shot``.
    found
        What the registration said.
    min_inliers
        Features that must agree before a mirrored shot is called that.

    Returns
    -------
    A refusal: ``over_exposed``, ``under_exposed``, ``registration`` (nothing in it), ``mirrored``, ``out_of_focus`` or
    ``other_board``.
    """
    small = overview(shot)
    levels = small if shot.dtype == np.uint8 else np.asarray(shot.reshape(*shot.shape[:2], -1).max(2) >> 8, np.uint8)
    if float((levels >= _BRIGHT).mean()) > 0.5:
        return Refusal("over_exposed", f"most of the {name} is burnt out; {found}", "expose less")
    if float(np.quantile(levels, 0.95)) <= _DARK:
        return Refusal("under_exposed", f"the {name} is nearly black; {found}", "expose longer, or switch the light on")
    if float(small.std()) < _EVEN:
        return Refusal("registration", f"there is nothing to be seen in the {name}: {found}", "photograph the board")
    mirrored = registered(np.ascontiguousarray(shot[:, ::-1]), target_of(frame, mask))
    if mirrored is not None and mirrored.inliers >= min_inliers:
        return Refusal(
            "mirrored",
            f"the {name} is mirrored: flipped, {mirrored.inliers} of {mirrored.matches} features agree",
            "flip the file; check the scanner's or camera's settings",
        )
    soft = relative_blur(*_alike(overview(frame), small))
    if soft > _SOFT:
        return Refusal(
            "out_of_focus",
            f"the {name} is blurred by about {soft:.0f} px more than the frame, in an overview; {found}",
            "focus on the board and hold the camera still",
        )
    return Refusal(
        "other_board",
        f"the {name} is sharp but shows something else than the frame: {found}",
        "check that this photograph belongs to this board type, and shows it whole",
    )


def registered(shot: Array, target: Target) -> Registration | None:
    """The registration of a shot, or None where there is none."""
    try:
        return register(shot, target)
    except Refusal:
        return None


def _alike(a: Array, b: Array) -> tuple[Array, Array]:
    """The middle parts of two pictures, of one shape."""
    height, width = min(a.shape[0], b.shape[0]), min(a.shape[1], b.shape[1])
    cut = []
    for v in (a, b):
        top, left = (v.shape[0] - height) // 2, (v.shape[1] - width) // 2
        cut.append(v[top : top + height, left : left + width])
    return cut[0], cut[1]


__all__ = ["Likeness", "diagnose", "likeness", "overview", "registered", "straightness"]
