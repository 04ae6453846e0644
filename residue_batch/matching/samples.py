"""The pixels that the light fit sees: small windows over the board, at full resolution, blurred alike.

The reference's side is prepared once (``anchors_of``); each shot is then read where it has anchors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from residue_batch import kernels
from residue_batch.errors import Refusal
from residue_batch.geometry import Array, Box, Transform
from residue_batch.laps import lapped
from residue_batch.matching.flat import Shade
from residue_batch.matching.resample import FULL_SCALE, U16, blur, blur_radius, blur_weights, inside, resample

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

REMEDY = "check exposure and the outline of the board type"
_BLUR = 3.0  # px, of the samples: noise and a tenth of a pixel of misfit are averaged out
_REACH = 2  # px, of the second differences that make the Laplacian
_WINDOW = 64  # px: residue is nearly even, or sparse, inside one
_STEP = (4, 8)  # px between samples, down and across: the blur leaves no more to see
_AREA = 1_200_000  # px read for the samples
_SATURATED = 0.94  # code value, of full scale
_CLIPPED = 0.97  # code value of full scale above which the white patch may clip
_UNCLIPPED = 0.8  # share of the patch that must not
_PATCH = 512  # px, side of the middle of the patch that is read
_RIM = 3  # px of the patch that registration may miss
_THIN = 2  # px between the pixels of the patch that are read
_MIN_PAPER = 75  # of them
_UNEVEN = 0.15  # log light: a patch that differs so much within itself is covered in part
_GRID = tuple(slice(step // 2, None, step) for step in _STEP)
_HALO = blur_radius(_BLUR) + _REACH


class Fixed(NamedTuple):
    """What the white patch says of the light.

    ``place`` (2,) is its middle, as in `Samples`; ``ratio`` (C,) the median log of shot / reference
    there; ``known`` (C,) bool the channels that neither photograph clips.
    """

    place: F64
    ratio: F64
    known: Mask


@dataclass(frozen=True)
class Samples:
    """Pixels of a shot and of the reference, in linear light (1 = full scale), blurred alike.

    ``place`` (n, 2) float64 is [x, y] in units of half the longer side of the frame, from its
    centre; ``image`` and ``reference`` are (n, C) float32; ``bend`` (n, C) is the Laplacian of the
    reference per px^2; ``starts`` (m,) is the first pixel of each window; ``shape`` is the frame's;
    ``fixed`` is None without a white patch that can be read.
    """

    place: F64
    image: F32
    reference: F32
    bend: F32
    starts: NDArray[np.int64]
    shape: tuple[int, int]
    fixed: Fixed | None = None


def units_of(x: Array, y: Array, shape: tuple[int, int]) -> tuple[F64, F64]:
    """Pixels of the frame as places: units of half its longer side, from its centre."""
    half = max(shape) / 2.0
    return (x - (shape[1] - 1) / 2.0) / half, (y - (shape[0] - 1) / 2.0) / half


class Anchors(NamedTuple):
    """Windows of the reference: what every shot's samples there are held against.

    ``inner`` (m, 4) int64 are the windows, ``outer`` (m, 4) the same with the halo of the blur. Of each window's
    sampling grid of r by c points: ``free`` (m, r, c) bool tells which lie on the board and away from saturation,
    ``base`` and ``bend`` (m, C, r, c) float32 are the reference and its Laplacian, ``place`` (m, r, c, 2) float64
    is as in `Samples`.
    """

    inner: NDArray[np.int64]
    outer: NDArray[np.int64]
    free: Mask
    base: F32
    bend: F32
    place: F64


class Patch(NamedTuple):
    """The white patch on the reference.

    ``box`` is around its middle; ``paper`` (h, w) bool are its light pixels; ``base`` (C, h, w)
    uint16 is linear light as taken, ``shade`` the flat field that it was taken with.
    """

    box: Box
    paper: Mask
    base: U16
    shade: Shade | None = None


def patch_of(reference: Array, table: U16, patch: Mask | None, shade: Shade | None = None) -> Patch | None:
    """The white patch made ready for `sample_light`; None without one.

    ``patch`` is (h, w) bool in the frame. Its rim and what is printed on it are left out. ``shade`` is
    the reference's flat field.
    """
    if patch is None or not patch.any():
        return None
    rows, columns = np.flatnonzero(patch.any(1)), np.flatnonzero(patch.any(0))
    whole = Box.whole(patch.shape)
    middle = (int(rows[0] + rows[-1]) // 2, int(columns[0] + columns[-1]) // 2)
    box = Box(*middle, middle[0] + 1, middle[1] + 1).grow(_PATCH // 2, whole)
    box = box.intersect(Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1))
    paper = cv2.erode(
        patch[box.within(whole)].astype(np.uint8), np.ones((2 * _RIM + 1,) * 2, np.uint8), borderValue=0
    ).astype(np.bool_)
    base = resample(reference, Transform(), box, table)
    paper &= (np.indices(paper.shape) % _THIN == 0).all(0)  # the blur of the lens leaves no more to see
    if not paper.any():
        return None
    light = base.min(0)
    paper &= light > 0.6 * float(np.percentile(light[paper], 60))
    return Patch(box, paper, base, shade) if paper.sum() >= _MIN_PAPER else None


def _fixed(
    shot: Array,
    table: U16,
    transform: Transform,
    patch: Patch | None,
    shape: tuple[int, int],
    shade: Shade | None,
) -> Fixed | None:
    if patch is None:
        return None
    chosen = patch.paper & inside(shot.shape, transform, patch.box)
    if chosen.sum() < _MIN_PAPER:
        return None
    light, base = resample(shot, transform, patch.box, table)[:, chosen].T, patch.base[:, chosen].T
    limit = int(table[int(_CLIPPED * (len(table) - 1))])
    whole = (light > 0) & (base > 0) & (light < limit) & (base < limit)
    # what is left of a patch that clips here and there is its darker part in one shot only
    known = whole.mean(0) >= _UNCLIPPED
    if not known.any():
        return None
    ratio = np.log(np.maximum(light, 1) / np.maximum(base, 1).astype(np.float64))
    rows, columns = (at + start for at, start in zip(np.nonzero(chosen), (patch.box.top, patch.box.left), strict=True))
    for one, sign in ((shade, -1.0), (patch.shade, 1.0)):
        if one is not None:
            ratio += sign * np.log(one.at(columns.astype(np.float64), rows.astype(np.float64))).T
    middle = [float(np.median(ratio[whole[:, c], c])) if known[c] else 0.0 for c in range(len(known))]
    spread = [1.4826 * float(np.median(np.abs(ratio[whole[:, c], c] - middle[c]))) for c in np.flatnonzero(known)]
    if max(spread) > _UNEVEN:
        return None
    x, y = units_of(columns.mean(), rows.mean(), shape)
    return Fixed(np.array([x, y], np.float64), np.array(middle), known)


def anchors_of(reference: Array, table: U16, mask: Mask, shade: Shade | None = None) -> Anchors:
    """Prepare a reference once for all shots: small windows on a lattice over the board.

    Parameters
    ----------
    reference
        (h, w[, C]) code values, in the frame.
    table
        Of the reference, from `linear_table`.
    mask
        (h, w) bool: inside the outline, not ignored.
    shade
        The reference's flat field, divided out.
    """
    whole, plain = Box.whole(mask.shape), np.atleast_3d(reference)
    boxes = _lattice(mask)
    inner = np.array(boxes, np.int64).reshape(len(boxes), 4)
    outer = np.array([box.grow(_HALO, whole) for box in boxes], np.int64).reshape(len(boxes), 4)
    light, free = _read(plain, table, Transform(), inner, outer)
    bend = np.zeros(light.shape, np.float32)
    rows, columns = (np.arange(step // 2, _WINDOW, step) for step in _STEP)
    for number, box in enumerate(boxes):
        around = Box(*outer[number])
        soft = blur(resample(plain, Transform(), around, table), _BLUR)
        down, across = rows[rows < box.shape[0]], columns[columns < box.shape[1]]
        at = np.meshgrid(down + box.top - around.top, across + box.left - around.left, indexing="ij")
        bend[number, :, : len(down), : len(across)] = _laplacian(soft, *at)
        points = mask[box.within(whole)][*_GRID]
        free[number, : len(down), : len(across)] &= points
    x, y = _points(inner)
    place = np.stack(np.broadcast_arrays(*units_of(x, y, (mask.shape[0], mask.shape[1]))), axis=-1)
    some, base = free.any((1, 2)), _unit(light)
    if shade is not None:
        base, bend = (_evened(planes, shade, inner) for planes in (base, bend))
    return Anchors(inner[some], outer[some], free[some], base[some], bend[some], place[some])


@lapped("light")
def sample_light(
    shot: Array,
    table: U16,
    transform: Transform,
    anchors: Anchors,
    shape: tuple[int, int],
    patch: Patch | None = None,
    shade: Shade | None = None,
) -> Samples:
    """Pixels for the light fit: a shot read at full resolution where the reference has its anchors.

    Parameters
    ----------
    shot
        (H, W[, C]) as decoded.
    table
        Of the shot, from `linear_table`.
    transform
        Frame to shot.
    anchors
        From `anchors_of`.
    shape
        Of the frame.
    patch
        From `patch_of`.
    shade
        The shot's flat field, divided out.

    A pixel counts when no neighbour within the blur is saturated in the shot or in the reference.
    """
    light, usable = _read(np.atleast_3d(shot), table, transform, anchors.inner, anchors.outer)
    chosen = anchors.free & usable
    count = chosen.sum((1, 2))
    if not count.any():
        raise Refusal("light", "no pixel of the board can be used for matching the light", REMEDY)

    def of(planes: Array) -> Array:
        return np.asarray(np.moveaxis(planes, 1, -1)[chosen])

    image = of(_unit(light) if shade is None else _evened(_unit(light), shade, anchors.inner))
    starts = np.cumsum(count) - count
    fixed = _fixed(shot, table, transform, patch, shape, shade)
    return Samples(anchors.place[chosen], image, of(anchors.base), of(anchors.bend), starts[count > 0], shape, fixed)


def darkest(values: Array) -> Array:
    """The smallest of the channels: (n, c) -> (n,). A reduction over so short an axis takes thirty times as long."""
    return np.asarray(reduce(np.minimum, values.T))


def _points(inner: NDArray[np.int64]) -> tuple[F64, F64]:
    """X (m, 1, c) and y (m, r, 1) of the sampling points of windows, frame px."""
    rows, columns = (np.arange(step // 2, _WINDOW, step) for step in _STEP)
    x, y = inner[:, 1, None, None] + columns, inner[:, 0, None, None] + rows[:, None]
    return x.astype(np.float64), y.astype(np.float64)


def _evened(planes: F32, shade: Shade, inner: NDArray[np.int64]) -> F32:
    """Values (m, C, r, c) at the sampling points of windows, a flat field divided out."""
    return np.asarray(planes / np.moveaxis(shade.at(*_points(inner)), 0, 1), np.float32)


def _read(
    shot: Array, table: U16, transform: Transform, inner: NDArray[np.int64], outer: NDArray[np.int64]
) -> tuple[U16, Mask]:
    """Blurred light (m, C, r, c) at the sampling points of windows, and which are shown and away from saturation."""
    size = (len(range(_STEP[0] // 2, _WINDOW, _STEP[0])), len(range(_STEP[1] // 2, _WINDOW, _STEP[1])))
    return kernels.window_samples(
        np.ascontiguousarray(shot),
        table,
        *transform.numbers,
        outer,
        inner,
        blur_weights(_BLUR),
        _HALO,
        _saturation(table),
        _STEP,
        size,
    )


def _saturation(table: U16) -> int:
    return int(table[int(_SATURATED * (len(table) - 1))])


def _laplacian(light: U16, rows: Array, columns: Array) -> F32:
    """(C, r, c): second differences at some pixels, per px^2, 1 = full scale."""
    near = np.pad(light, [(0, 0), (_REACH, _REACH), (_REACH, _REACH)], mode="edge")
    y, x, far = rows + _REACH, columns + _REACH, _REACH
    around = [_unit(near[:, *at]) for at in ((y - far, x), (y + far, x), (y, x - far), (y, x + far))]
    return np.asarray((sum(around) - np.float32(4) * _unit(near[:, y, x])) / np.float32(far * far), np.float32)


def _unit(light: Array) -> F32:
    return np.asarray(light / np.float32(FULL_SCALE), np.float32)


def _lattice(mask: Mask) -> list[Box]:
    """Windows evenly over the outline, together about `_AREA` px."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return []
    area = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    pitch = max(_WINDOW, round(_WINDOW * (area.pixels / _AREA) ** 0.5))
    return [
        Box(top, left, min(top + _WINDOW, area.bottom), min(left + _WINDOW, area.right))
        for top in range(area.top, area.bottom, pitch)
        for left in range(area.left, area.right, pitch)
    ]
