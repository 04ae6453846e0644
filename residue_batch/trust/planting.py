"""Known residue on the user's own clean photographs, photographed again.

Linear light, ``I = (1 - a) B + a W``: B is the clean photograph, W its white
patch, a the opacity of drawn crystals, film, haze and spatter. Patterns are
drawn in the board frame, so the truth is a sum over the board type's own
outline; they are laid into the photograph where the board is found in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from residue_batch import photo
from residue_batch.areas import areas_of
from residue_batch.config import BoardType
from residue_batch.config.board_checks import WHOLE
from residue_batch.errors import ConfigError, Refusal, UsageError
from residue_batch.files import PhotoFile, read_photo
from residue_batch.geometry import Box, Transform
from residue_batch.matching.reference import white_colour
from residue_batch.matching.registration import grey, register, target_of
from residue_batch.matching.resample import FULL_SCALE, linear_table, resample
from residue_batch.synthetic import clean_residue, plant_residue, rephotograph, write_shot

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]

WORKING_PIXELS = 3_000_000
"""Patterns are drawn on a frame of at most so many pixels and enlarged: deposits are many pixels wide."""
LONG_SIDE_MM = 120.0
"""The longer side of a board whose type says no pixel size."""
SUFFIX = {"jpeg": ".jpg", "png": ".png", "tiff": ".tif"}


class Amount(NamedTuple):
    """What is planted: the load before, the share of it that cleaning takes, the load that comes anew."""

    load: float
    efficiency: float = 0.0
    new: float = 0.0


AMOUNTS = {
    "typical": Amount(0.04, 0.90),
    "faint": Amount(0.012, 0.80),
    "heavy": Amount(0.10, 0.70),
    "null": Amount(0.04),
    "worse": Amount(0.02, 0.0, 0.01),
    "blank": Amount(0.0),
}
"""The boards of a self test, in this order and again from the start."""


@dataclass(frozen=True, eq=False)
class Surface:
    """The board of a clean photograph, as residue sees it; a ``synthetic.Ground`` in the board frame."""

    seed: int
    mm: float
    shape: tuple[int, int]
    outline: tuple[tuple[int, int], ...]
    sites: tuple[tuple[float, float, float, float], ...]
    free: Mask

    def counted(self) -> Mask:
        """Where the truth is summed: the outline but for what is ignored and for the white patch."""
        return self.free

    def soil(self) -> Mask:
        """Where residue may lie."""
        return self.free


@dataclass(frozen=True, eq=False)
class Clean:
    """A clean photograph, ready to be soiled.

    ``transform`` leads from the board frame to the photograph; ``counted`` is
    bool in the board frame; ``white`` is (C,) linear light, 1 = full scale.
    """

    path: Path
    photo: photo.Photo
    transform: Transform
    surface: Surface
    counted: Mask
    white: Plane


def clean_shot(board_type: BoardType, path: Path, seed: int) -> Clean:
    """Read a clean photograph and find its board in it.

    Raises
    ------
    ConfigError
        If declared areas are not found on the frame, or the frame cannot be read.
    UsageError
        If the photograph cannot be read or does not show a board of this type, or its white patch is not white.
    """
    shot = _photograph(board_type, path)
    name = board_type.frame_image
    own = name is None or Path(name) == path
    frame = shot if own or name is None else _frame(board_type, name)
    try:
        regions, ignored, patch = areas_of(board_type, frame.pixels, frame.pixels.shape[:2])
        transform = Transform() if own else register(shot.pixels, target_of(frame.pixels, regions[WHOLE])).transform
    except Refusal as error:
        raise UsageError(f"{path}: {error.message}; {error.remedy}") from None
    table = linear_table(shot.pixels.dtype, shot.tone)
    light = resample(shot.pixels, transform, Box.whole(frame.pixels.shape), table)
    white, assumed = white_colour(light, patch)
    if not assumed:
        _check_white(light, white, regions[WHOLE], path)
    # the patch measures the light: residue on it is another fault
    counted = regions[WHOLE] & ~ignored & ~(patch if patch is not None else np.False_)
    if not counted.any():
        raise UsageError(f"board type {board_type.board_type} ignores its whole outline")
    surface = _surface(board_type, frame, counted, seed)
    return Clean(path, shot, transform, surface, counted, np.asarray(white, np.float32))


def _photograph(board_type: BoardType, path: Path) -> photo.Photo:
    try:
        return read_photo(board_type, PhotoFile(str(path)))
    except Refusal as error:
        raise UsageError(f"{error.message}; {error.remedy}") from None


def _frame(board_type: BoardType, name: str) -> photo.Photo:
    try:
        return read_photo(board_type, PhotoFile(name))
    except Refusal as error:
        key = "frame" if board_type.frame else "golden"
        raise ConfigError(board_type.problem((key,), error.message, error.remedy)) from None


def _check_white(light: NDArray[np.uint16], white: Plane, whole: Mask, path: Path) -> None:
    """A scale that is not white would agree with itself: say so instead of planting by it.

    Raises
    ------
    UsageError
    """
    spread = 1 - float(white.min()) / float(white.max())
    level = np.median(light[:, whole].astype(np.float32), axis=1) / FULL_SCALE
    if spread > MOST_COLOUR or float(white.mean()) < LEAST_OVER_BOARD * float(np.mean(level)):
        shown = ", ".join(f"{v:.2f}" for v in white)
        raise UsageError(
            f"{path}: the white patch is not white: linear light {shown}, where the board itself has "
            f"{float(np.mean(level)):.2f}; correct 'white:' of the board type, or leave it out"
        )


MOST_COLOUR = 0.4
"""1 - min / max of the patch's channels: paper in warm light has 0.3."""
LEAST_OVER_BOARD = 2.0
"""The patch must be so much brighter than the middle of the board."""


def _surface(board_type: BoardType, frame: photo.Photo, counted: Mask, seed: int) -> Surface:
    """The frame at working size: where residue lies, and what it gathers around."""
    height, width = counted.shape
    small = min(1.0, (WORKING_PIXELS / (height * width)) ** 0.5)
    size = (max(round(width * small), 1), max(round(height * small), 1))
    free = cv2.resize(counted.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    x, y, w, h = cv2.boundingRect(free.astype(np.uint8))
    per_mm = 1000 / board_type.pixel_size_um * small if board_type.pixel_size_um else max(w, h) / LONG_SIDE_MM
    look: NDArray[Any] = np.asarray(cv2.resize(grey(frame.pixels), size, interpolation=cv2.INTER_AREA))
    look = look if look.dtype == np.uint8 else (look // 257).astype(np.uint8)
    corners = cv2.goodFeaturesToTrack(look, 150, 0.02, max(2.0 * per_mm, 4.0), mask=free.astype(np.uint8) * 255)
    places = np.empty((0, 2)) if corners is None else corners.reshape(-1, 2)
    # joints and leads are where a picture has corners
    sites = tuple((float(u), float(v), per_mm, per_mm) for u, v in places)
    box = ((x, y), (x + w, y), (x + w, y + h), (x, y + h))
    return Surface(seed, float(per_mm), (size[1], size[0]), box, sites, np.asarray(free))


class Truth(NamedTuple):
    """Mean planted opacity over the counted pixels of the board frame."""

    before: float
    after: float


def plant(clean: Clean, kind: str, seed: int, difficulty: str, folder: Path, name: str) -> Truth:
    """Write ``NAME_before`` and ``NAME_after`` of a board with known residue, and return what is true of it.

    Parameters
    ----------
    kind
        A key of ``AMOUNTS``.
    seed
        Which deposits, and how the two shots were taken.
    difficulty
        A key of ``synthetic.DIFFICULTIES``.
    """
    amount = AMOUNTS[kind]
    before = plant_residue(clean.surface, seed, amount.load)
    after = clean_residue(clean.surface, before, seed + 1, amount.efficiency) if amount.efficiency else before
    if amount.new:
        new = plant_residue(clean.surface, seed + 2, amount.new)
        after = np.asarray(after + new - after * new, np.float32)
    truth = []
    for phase, opacity in (("before", before), ("after", after)):
        whole = _enlarged(opacity, clean.counted.shape)
        truth.append(float(whole[clean.counted].mean(dtype=np.float64)))
        seen = rephotograph(_soiled(clean, whole), 2 * seed + (phase == "after"), difficulty, *_depth(clean.photo))
        pixels = seen.pixels[..., 1:2] if clean.photo.pixels.shape[2] == 1 else seen.pixels
        write_shot(folder / f"{name}_{phase}{SUFFIX[clean.photo.header.format]}", pixels)
    return Truth(*truth)


def _enlarged(opacity: Plane, shape: tuple[int, ...]) -> Plane:
    if opacity.shape == shape:
        return opacity
    return np.asarray(cv2.resize(opacity, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)


def _soiled(clean: Clean, opacity: Plane) -> Plane:
    """The photograph with residue on it, float32 (H, W, 3) linear light; a grey one has equal channels."""
    pixels = clean.photo.pixels
    table = linear_table(pixels.dtype, clean.photo.tone).astype(np.float32) / np.float32(FULL_SCALE)
    scene = table[pixels]
    white = clean.white
    if scene.shape[2] == 1:
        scene, white = np.repeat(scene, 3, axis=2), np.repeat(white, 3)
    if clean.transform != Transform():
        size = (pixels.shape[1], pixels.shape[0])
        opacity = np.asarray(cv2.warpPerspective(opacity, clean.transform.array, size), np.float32)
    for top in range(0, scene.shape[0], 256):
        rows = slice(top, top + 256)
        scene[rows] += opacity[rows, :, None] * (white - scene[rows])
    return np.asarray(scene, np.float32)


def _depth(shot: photo.Photo) -> tuple[int, str]:
    return (8, "srgb") if shot.pixels.dtype == np.uint8 else (16, shot.tone)
