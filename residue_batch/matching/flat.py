"""The flat field: how camera and lamps light an even white card, and so every photograph taken as it was.

A card shows vignetting and lamps as they are, whatever their shape; the light match (`light`) knows
only a quadratic. Its photograph is made coarse once: means of cells in linear light, of each channel,
relative to that channel's mean, so that neither the card's colour nor its exposure counts. A shot's
light is divided by it where the shot was taken: in the pixels of the sensor, before the light match.
What is left, the gain and whatever the card does not show, is matched as without it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from residue_batch.errors import Refusal
from residue_batch.geometry import Array, Transform
from residue_batch.matching.resample import FULL_SCALE, U16

F64 = NDArray[np.float64]

CELLS = 96
"""Cells along the longer side: light changes little inside one."""
_LEAST_CELL = 8  # px: noise and the texture of paper are averaged out
_SOFT = 0.7  # cells: dust and what noise is left
_BURNT = 0.985  # code value, of full scale
MOST_BURNT = 0.005
"""Share of the card that may be burnt out."""
LEAST_LIGHT = 0.02
"""Linear light of the darkest cell; below it code values are too coarse, and noise divides."""
LEAST_MEAN = 0.08
"""Linear light of the card on average."""
_STEP = 0.05  # a cell that differs so much from those around it is no light
MOST_STEPS = 0.01
"""Share of the cells that may: dust, a scratch."""
CARD = "photograph an even white card that fills the picture, out of focus or unmoved, in the light of the boards"

# EXIF orientation -> (rows and columns exchanged, then rows turned round, then columns): from stored to upright
_TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


@dataclass(frozen=True, eq=False)
class Shade:
    """A flat field as one shot was taken: where a place of the board frame lies in it, and how much light falls there.

    ``cells`` (C, r, c) are of the upright shot, with one more on each side.
    """

    cells: F64
    shape: tuple[int, int]
    transform: Transform

    def at(self, x: Array, y: Array) -> F64:
        """(C, ...): light at places of the frame, 1 on average; element by element, always the same bits."""
        along, down = self.transform.at(x, y)
        rows, columns = self.cells.shape[1] - 2, self.cells.shape[2] - 2
        u, left = _split(along, self.shape[1], columns)
        v, top = _split(down, self.shape[0], rows)
        upper, lower = (
            self.cells[:, row, left] + u * (self.cells[:, row, left + 1] - self.cells[:, row, left])
            for row in (top, top + 1)
        )
        return np.asarray(upper + v * (lower - upper))


def _split(place: Array, size: int, cells: int) -> tuple[F64, NDArray[np.intp]]:
    """How far between two cell centres a place lies, and the first of them; no place lies beyond the outermost."""
    cell = np.clip((place + 0.5) * (cells / size) + 0.5, 0.0, cells + 0.999)
    first = np.floor(cell).astype(np.intp)
    return np.asarray(cell - first), first


@dataclass(frozen=True, eq=False)
class Flat:
    """A flat field: relative light (C, r, c) of the cells of the photograph as stored, whose size is ``shape``."""

    cells: F64
    shape: tuple[int, int]

    def shade(self, shape: tuple[int, ...], orientation: int, transform: Transform, name: str) -> Shade:
        """The flat field as seen by an upright shot.

        Parameters
        ----------
        shape
            Of the upright shot, (height, width, channels).
        orientation
            Of the shot, EXIF numbering: light belongs to the sensor, which the camera may have turned upright.
        transform
            Frame to shot.
        name
            What the shot is called in messages.

        Raises
        ------
        Refusal
            ``flat_field``: card and shot are of different sizes, or one of them is grey.
        """
        size = (shape[1], shape[0]) if _TURNS[orientation][0] else (shape[0], shape[1])
        if size != self.shape:
            taken = f"{size[1]} x {size[0]} pixels, its flat field {self.shape[1]} x {self.shape[0]}"
            raise Refusal("flat_field", f"the {name} has {taken}", "take both with one camera, uncropped")
        if shape[2] != len(self.cells):
            raise Refusal("flat_field", f"the {name} and its flat field are not both grey or both colour", CARD)
        padded = np.pad(_turned(self.cells, orientation), [(0, 0), (1, 1), (1, 1)], "reflect", reflect_type="odd")
        return Shade(np.maximum(padded, padded[padded > 0].min()), (shape[0], shape[1]), transform)

    @property
    def darkest(self) -> float:
        """The least light of a cell against the most, of the channel where that is least."""
        return float((self.cells.min((1, 2)) / self.cells.max((1, 2))).min())


def _turned(cells: F64, orientation: int, *, back: bool = False) -> F64:
    """Cells (C, r, c) as stored, turned upright; or back."""
    exchanged, *flips = _TURNS[orientation]
    if exchanged and not back:
        cells = cells.swapaxes(1, 2)
    for axis, flip in enumerate(flips, 1):
        cells = np.flip(cells, axis) if flip else cells
    return cells.swapaxes(1, 2) if exchanged and back else cells


def flat_of(card: Array, table: U16, orientation: int, name: str) -> Flat:
    """The flat field out of the photograph of a card.

    Parameters
    ----------
    card
        (H, W, C) as decoded, upright.
    table
        From `resample.linear_table`.
    orientation
        That its file had, EXIF numbering.
    name
        What it is called in messages.

    Raises
    ------
    Refusal
        ``flat_field``: burnt out, dark, or no even card.
    """
    burnt = float((card.max(2) >= _BURNT * np.iinfo(card.dtype).max).mean())
    if burnt > MOST_BURNT:
        raise Refusal("flat_field", f"{100 * burnt:.1f} % of {name} is burnt out", "expose it less")
    light = np.stack([_means(table[card[..., channel]]) for channel in range(card.shape[2])]) / FULL_SCALE
    mean, median = (np.stack([around(c) for c in np.maximum(light, 1e-6)]) for around in (_mean_around, _median_around))
    steps = float((np.abs(light / mean - 1) > _STEP).any(0).mean())
    if steps > MOST_STEPS:
        share = 100 * steps
        found = f"{name} is no even card: {share:.0f} % of it differs by more than {100 * _STEP:g} % from around it"
        raise Refusal("flat_field", found, CARD)
    if light.min() < LEAST_LIGHT or light.mean() < LEAST_MEAN:
        found = f"{name} is dark: linear light {light.mean():.3f} on average, {light.min():.3f} at least"
        raise Refusal("flat_field", f"{found} (must be {LEAST_MEAN:g} and {LEAST_LIGHT:g})", f"expose longer; {CARD}")
    light = np.where(np.abs(light / median - 1) > _STEP, median, light)  # dust
    soft = np.stack([_soft(c) for c in light])
    cells = _turned(soft / soft.mean((1, 2), keepdims=True), orientation, back=True)
    shape = (card.shape[1], card.shape[0]) if _TURNS[orientation][0] else (card.shape[0], card.shape[1])
    return Flat(np.ascontiguousarray(cells), shape)


def _means(light: U16) -> F64:
    """Means of cells (r, c) of a channel: integers are summed."""
    size = max(_LEAST_CELL, max(light.shape) / CELLS)
    edges = [np.rint(np.linspace(0, n, max(round(n / size), 4) + 1)).astype(np.intp) for n in light.shape]
    sums = np.add.reduceat(np.add.reduceat(light, edges[0][:-1], 0, np.uint64), edges[1][:-1], 1)
    return np.asarray(sums / np.outer(np.diff(edges[0]), np.diff(edges[1])))


def _mean_around(light: F64) -> F64:
    """Of each cell, the mean of 5 x 5 around it: an edge stands out."""
    return np.asarray(np.exp(cv2.blur(_widened(light, 2), (5, 5))[2:-2, 2:-2]))


def _median_around(light: F64) -> F64:
    """Of each cell, the median of 5 x 5 around it: dust does not count."""
    return np.asarray(np.exp(cv2.medianBlur(_widened(light, 2).astype(np.float32), 5)[2:-2, 2:-2].astype(np.float64)))


def _widened(light: F64, by: int) -> F64:
    """Logarithm of light, its slope continued beyond the rim."""
    return np.pad(np.log(light), by, "reflect", reflect_type="odd")


def _soft(light: F64) -> F64:
    wide = _widened(light, 3)
    reach = np.arange(-3, 4)
    weights = np.exp(-0.5 * np.square(reach / _SOFT))
    weights /= weights.sum()
    for axis in (0, 1):
        size = wide.shape[axis] - 6
        parts = [weight * wide.take(range(start, start + size), axis) for start, weight in enumerate(weights)]
        wide = np.asarray(sum(parts))
    return np.asarray(np.exp(wide))
