"""Areas of a board type as masks of the board frame.

A pixel is inside when its centre is; centres lie at integers. An area reaches
from its left and top edge up to, not including, its right and bottom edge, so
areas that share an edge share no pixel and leave none out.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from residue_batch import units
from residue_batch.config.board_checks import WHOLE
from residue_batch.config.board_type import Area, BoardType, Drawn, Found, Near, Part, Polygon, Rectangle, Search
from residue_batch.errors import Refusal
from residue_batch.geometry import strips
from residue_batch.steps.morphology import grown

Mask = npt.NDArray[np.bool_]
Image = npt.NDArray[Any]
Shape = tuple[int, int]


class Areas(NamedTuple):
    """The areas of a board type on its frame; every mask is (height, width) bool."""

    regions: dict[str, Mask]
    """Every region, ``whole`` first, each clipped to the outline."""
    ignored: Mask
    """Where nothing is measured."""
    white: Mask | None
    """The declared white patch."""


def areas_of(board_type: BoardType, frame_image: Image | None, shape: Shape) -> Areas:
    """Every area of a board type.

    Parameters
    ----------
    board_type
        Its geometry.
    frame_image
        The frame's pixels, (height, width) or (height, width, RGB), 8 or 16 bit
        or float; needed where elements are ``found``.
    shape
        (height, width) of the frame.

    Raises
    ------
    Refusal
        ``elements`` when another number of elements is found than expected.
    """
    draw = _Rasteriser(board_type, frame_image, shape)
    ignored = np.zeros(shape, np.bool_)
    for index, area in enumerate(board_type.ignore):
        ignored |= draw.area(area, area.name or f"ignored area {index + 1}")
    white = None if board_type.white is None else draw.drawn(board_type.white)
    return Areas(draw.regions(), ignored, white)


def outline_mask(board_type: BoardType, shape: Shape) -> Mask:
    """The region ``whole``."""
    return _Rasteriser(board_type, None, shape).outline


def polygon_mask(points: Sequence[Sequence[float]] | npt.NDArray[np.float64], shape: Shape) -> Mask:
    """The pixels whose centre lies inside a closed polygon of [x, y], by the even-odd rule.

    Each edge flips the state of every pixel at and right of its crossing with
    a row; the running parity along the row is the mask.
    """
    mask = np.zeros(shape, np.uint8)
    height, width = shape
    corners = np.asarray(points, np.float64).reshape(-1, 2)
    if not len(corners) or not mask.size:
        return mask.astype(np.bool_)
    start, end = corners, np.roll(corners, -1, axis=0)
    # every edge from top to bottom, so that neighbours compute the same bits
    down = (start[:, 1] <= end[:, 1])[:, None]
    upper, lower = np.where(down, start, end), np.where(down, end, start)
    first = np.clip(np.ceil(upper[:, 1]), 0, height).astype(np.int64)
    stop = np.clip(np.ceil(lower[:, 1]), 0, height).astype(np.int64)
    count = stop - first
    edge = np.repeat(np.arange(len(count)), count)
    row = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    (x0, y0), (x1, y1) = upper[edge].T, lower[edge].T
    crossing = x0 + (row - y0) * (x1 - x0) / (y1 - y0)
    column = np.clip(np.ceil(crossing), 0, width).astype(np.int64)
    seen = column < width
    row, column = row[seen], column[seen]
    if not len(row):
        return mask.astype(np.bool_)
    np.bitwise_xor.at(mask, (row, column), 1)
    # nothing is inside outside these rows and left of the first crossing
    box = slice(row.min(), row.max() + 1), slice(column.min(), width)
    np.bitwise_xor.accumulate(mask[box], axis=1, out=mask[box])
    return mask.view(np.bool_)


def box_mask(box: Sequence[float], shape: Shape) -> Mask:
    """The pixels whose centre lies in [x, y, width, height]."""
    x, y, width, height = (float(v) for v in box)
    mask = np.zeros(shape, np.bool_)
    rows, columns = (
        slice(*(int(np.clip(np.ceil(v), 0, size)) for v in (low, low + extent)))
        for low, extent, size in ((y, height, shape[0]), (x, width, shape[1]))
    )
    mask[rows, columns] = True
    return mask


_SMALL = 6  # px: up to here a disc is faster than distances


def grow_mask(mask: Mask, radius: float) -> Mask:
    """The pixels at most ``radius`` px from a pixel of the mask, by exact Euclidean distance."""
    found = _bounds(mask)
    if found is None or radius < 1:
        return mask.copy()
    margin = int(np.ceil(radius)) + 1
    top, bottom, left, right = found
    box = (
        slice(max(top - margin, 0), min(bottom + margin, mask.shape[0])),
        slice(max(left - margin, 0), min(right + margin, mask.shape[1])),
    )
    result = np.zeros_like(mask)
    if radius < _SMALL:
        result[box] = grown(np.ascontiguousarray(mask[box]), radius)
        return result
    # squared distances are whole numbers: cut half way between two of them
    cut = float(np.sqrt(np.floor(radius * radius + 1e-9) + 0.5))
    free = np.ascontiguousarray(~mask[box]).view(np.uint8)
    result[box] = cv2.distanceTransform(free, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= cut
    return result


def part_mask(mask: Mask, side: str, keep: Any) -> Mask:
    """One side of each connected piece (8 neighbours) of a mask.

    ``keep`` maps the extent of a piece's bounding box, in pixels, to how many
    of them belong to the part.
    """
    result = np.zeros_like(mask)
    bounds = _bounds(mask)
    if bounds is None:
        return result
    inner = np.s_[bounds[0] : bounds[1], bounds[2] : bounds[3]]
    pieces, part = np.ascontiguousarray(mask[inner]).view(np.uint8), result[inner]
    count, labels, stats, _ = cv2.connectedComponentsWithStats(pieces, connectivity=8)
    for label in range(1, count):
        x, y, width, height, _ = (int(v) for v in stats[label])
        upright = side in ("top", "bottom")
        extent = height if upright else width
        amount = float(np.clip(keep(extent), 0, extent))
        # pixel k covers k - 0.5 .. k + 0.5: its centre decides
        first = int(np.ceil(extent - amount - 0.5)) if side in ("bottom", "right") else 0
        last = extent if side in ("bottom", "right") else int(np.ceil(amount - 0.5))
        rows = slice(y + first, y + last) if upright else slice(y, y + height)
        columns = slice(x, x + width) if upright else slice(x + first, x + last)
        part[rows, columns] |= labels[rows, columns] == label
    return result


class Blob(NamedTuple):
    """One bright grey area: its size and where it lies."""

    area: int
    x: int
    y: int
    width: int
    height: int


def bright_metal(
    image: Image, search: Search, *, within: Mask, pixel_size_um: float | None = None
) -> tuple[Mask, list[Blob], list[Blob]]:
    """Bright, grey, compact areas: (mask, those of the right size, the largest of the others from large to small).

    Works on code values or linear light alike: brightness is relative to the
    99.5th percentile inside ``within``.
    """
    channels = cv2.split(np.ascontiguousarray(image[:, :, :3] if image.ndim == 3 else image))
    bright, dark = np.asarray(reduce(cv2.max, channels)), np.asarray(reduce(cv2.min, channels))
    level = float(np.percentile(bright[within][::BRIGHT_STEP], 99.5)) if within.any() else 0.0
    candidate = within & (bright >= search.bright * level) & (bright > 0)
    for rows in strips(len(candidate), 256):
        # bright - dark <= grey * bright, without the wrap-around of unsigned codes
        candidate[rows] &= dark[rows] >= np.float32(1 - search.grey) * bright[rows]
    del channels, bright, dark
    gap = units.resolve(search.close, units.Pixels, pixel_size_um)
    if gap >= 1:
        candidate = _closed(candidate, gap / 2 + 0.5) & within
    candidate = _filled(candidate)
    low, high = (units.resolve(a, units.PixelArea, pixel_size_um) for a in search.area)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(candidate.view(np.uint8), connectivity=8)
    right = (stats[:, 4] >= low) & (stats[:, 4] <= high)
    wrong = ~right
    right[0] = wrong[0] = False  # the background
    mask, fitting = np.zeros(candidate.shape, np.bool_), []
    for label in np.flatnonzero(right):
        found = _blob(stats[label])
        box = np.s_[found.y : found.y + found.height, found.x : found.x + found.width]
        mask[box] |= labels[box] == label
        fitting.append(found)
    largest = sorted(np.flatnonzero(wrong), key=lambda label: (-stats[label, 4], label))[:_OTHERS]
    return mask, fitting, [_blob(stats[label]) for label in largest]


def _blob(stats: npt.NDArray[np.int32]) -> Blob:
    x, y, width, height, area = (int(v) for v in stats)
    return Blob(area, x, y, width, height)


_OTHERS = 20
BRIGHT_STEP = 7  # the percentile of every seventh pixel is near enough


class _Rasteriser:
    """Draws the areas of one board type, each region once."""

    def __init__(self, board_type: BoardType, image: Image | None, shape: Shape) -> None:
        self.board_type, self.image, self.shape = board_type, image, shape
        outline = board_type.outline
        self.outline = np.ones(shape, np.bool_) if outline is None else self.drawn(outline)
        self.known: dict[str, Mask] = {WHOLE: self.outline}

    def regions(self) -> dict[str, Mask]:
        return {name: self.region(name) & self.outline for name in self.board_type.region_names}

    def region(self, name: str) -> Mask:
        if name not in self.known:
            self.known[name] = self.area(self.board_type.regions[name], name)
        return self.known[name]

    def drawn(self, area: Drawn) -> Mask:
        if isinstance(area, Polygon):
            return polygon_mask(self.in_pixels(np.array(area.polygon, np.float64)), self.shape)
        x, y, width, height = area.box
        corners = self.in_pixels(np.array([[x, y], [x + width, y + height]], np.float64))
        return box_mask((*corners[0], *(corners[1] - corners[0])), self.shape)

    def in_pixels(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Points of the board type's unit as frame pixels."""
        unit = self.board_type.units
        if unit == "fraction":
            # 0 and 1 are the picture's edges, half a pixel beyond the outermost centres
            return points * (self.shape[1], self.shape[0]) - 0.5
        if unit == "mm":
            assert self.board_type.pixel_size_um is not None  # the board type has checked it
            return points * (1000.0 / self.board_type.pixel_size_um)
        return points

    def area(self, area: Area, name: str) -> Mask:
        scale = self.board_type.pixel_size_um
        if isinstance(area, Polygon | Rectangle):
            return self.drawn(area)
        if isinstance(area, Near):
            inner = self.region(area.near)
            grown = grow_mask(inner, units.resolve(area.grow, units.Pixels, scale))
            return grown & ~inner if area.ring else grown
        if isinstance(area, Part):
            part = area.part
            return part_mask(self.region(part.of), part.side[0], lambda extent: part.keep(extent, scale))
        return self.found(area, name)

    def found(self, area: Found, name: str) -> Mask:
        search = area.found
        if self.image is None:
            raise Refusal("elements", f"{name}: there is no frame image to find elements on", "name a 'frame:'")
        within = self.outline if search.within is None else self.region(search.within)
        mask, fitting, others = bright_metal(
            self.image, search, within=within, pixel_size_um=self.board_type.pixel_size_um
        )
        if len(fitting) != search.expect:
            low, high = search.area
            message = f"{name}: found {len(fitting)} of {search.expect} elements of {low} to {high}"
            shown = ", ".join(f"{b.area} px2 at [{b.x}, {b.y}]" for b in others[:3])
            message += f"; others: {shown}" if shown else ""
            remedy = "is it the right frame? otherwise change area, bright, grey, close or within of this region"
            raise Refusal("elements", message, remedy)
        return mask


def _bounds(mask: Mask) -> tuple[int, int, int, int] | None:
    """(top, bottom, left, right) of what is True, the ends not included."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return None
    columns = np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _closed(mask: Mask, radius: float) -> Mask:
    """Grown and shrunk again; the rim of the image takes nothing away."""
    margin = int(np.ceil(radius)) + 1
    padded = np.pad(mask, margin)
    shrunk = ~grow_mask(~grow_mask(padded, radius), radius)
    return np.ascontiguousarray(shrunk[margin:-margin, margin:-margin])


def _filled(mask: Mask) -> Mask:
    """Holes filled: what does not reach the image's rim is inside."""
    padded = np.pad(~mask, 1, constant_values=True).view(np.uint8)
    _, labels = cv2.connectedComponents(padded, connectivity=4)
    return np.ascontiguousarray(labels[1:-1, 1:-1] != labels[0, 0])
