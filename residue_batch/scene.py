"""The scene: a board frame made ready for measuring.

Made once per board type and process (or per board, when the frame is the
board's own before-shot): the frame image for registration, the clean reference
in linear light, the region bit mask, the colour of white residue.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from residue_batch import photo
from residue_batch.areas import ignored_mask, region_masks, white_mask
from residue_batch.config import BoardType
from residue_batch.errors import Refusal
from residue_batch.geometry import Array, Box, Transform
from residue_batch.matching.reference import white_colour
from residue_batch.matching.registration import Registration, register
from residue_batch.matching.resample import FULL_SCALE, blur, code_table, linear_table, resample, to_linear

IGNORED = 1 << 30
"""The bit of the region mask that marks ignored pixels; bit i is region i."""


@dataclass(frozen=True)
class Scene:
    """A prepared board frame.

    Parameters
    ----------
    shape
        (height, width) of the frame.
    code
        (h, w, c) code values of the frame image, for registration.
    clean_code
        (h, w, c) code values of the clean reference in the frame, for light
        matching; None in ``pair`` mode.
    clean
        (c, h, w) uint16 linear light of the reference, blurred as shots are.
    mask
        (h, w) uint32 region bits; bit 0 is ``whole``.
    regions
        Names of the bits, ``whole`` first.
    patch
        (h, w) bool: the declared white patch, or None.
    white
        (c,) float32, linear light, 1 = full scale.
    """

    shape: tuple[int, int]
    code: Array
    clean_code: Array | None
    clean: Array | None
    mask: Array
    regions: tuple[str, ...]
    patch: Array | None
    white: Array
    white_assumed: bool
    table: Array

    def bits(self, box: Box) -> Array:
        """Region bits of a box."""
        return self.mask[box.within(Box.whole(self.shape))]

    def reference(self, box: Box) -> Array:
        """The clean colour of a box: float32 (c, h, w), 1 = full scale."""
        assert self.clean is not None
        rows, columns = box.within(Box.whole(self.shape))
        return self.clean[:, rows, columns] * np.float32(1 / FULL_SCALE)

    @property
    def matchable(self) -> Array:
        """(h, w) bool: where shots are matched: the outline without ignored areas."""
        return np.asarray(self.mask & np.uint32(IGNORED | 1) == 1)


def scene_of_type(
    board_type: BoardType, frame: photo.Photo, golden: photo.Photo | None, blur_px: float
) -> tuple[Scene, Registration | None]:
    """The scene of a board type with a frame image of its own.

    Parameters
    ----------
    golden
        The clean shot, when it is another photograph than the frame; it is
        registered to the frame and resampled into it once.

    Raises
    ------
    Refusal
        If the golden shot does not match the frame, or declared areas are not found.
    """
    if board_type.reference == "pair":
        return _scene(board_type, frame, None, blur_px), None
    if golden is None or golden.sha256 == frame.sha256:
        return _scene(board_type, frame, frame.pixels, blur_px), None
    if golden.pixels.shape[2] != frame.pixels.shape[2]:
        raise Refusal("colour", "the golden shot and the frame are not both grey or both colour", "take both alike")
    outline = region_masks(board_type, frame.pixels, frame.pixels.shape[:2])["whole"]
    found = register(golden.pixels, frame.pixels, outline, seed=0)
    clean, valid = in_frame(golden, found.transform, frame.pixels.shape)
    if not valid[outline].all():
        raise Refusal("reference", "the golden shot does not show the whole outline", "photograph the whole board")
    return _scene(board_type, frame, clean, blur_px), found


def in_frame(shot: photo.Photo, transform: Transform, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """A whole photograph resampled into the frame, as code values, and where it was seen."""
    table = linear_table(shot.pixels.dtype, shot.tone)
    light, valid = resample(shot.pixels, transform, Box.whole(shape), table)
    return code_table(shot.pixels.dtype, shot.tone)[light], valid


def scene_of_shot(board_type: BoardType, before: photo.Photo, blur_px: float) -> Scene:
    """The scene whose frame is the board's own before-shot (``pair`` without a frame image)."""
    return _scene(board_type, before, None, blur_px)


def _scene(board_type: BoardType, frame: photo.Photo, clean_code: Array | None, blur_px: float) -> Scene:
    shape = (frame.pixels.shape[0], frame.pixels.shape[1])
    regions = region_masks(board_type, frame.pixels, shape)
    mask = np.zeros(shape, np.uint32)
    for index, region in enumerate(regions.values()):
        mask |= region.astype(np.uint32) << np.uint32(index)
    mask |= ignored_mask(board_type, frame.pixels, shape).astype(np.uint32) * np.uint32(IGNORED)
    patch = white_mask(board_type, shape)
    table = linear_table(frame.pixels.dtype, frame.tone)
    colour_of = frame.pixels if clean_code is None else clean_code
    light = blur(to_linear(colour_of, table), blur_px)
    white, assumed = white_colour(light, patch)
    clean = None if clean_code is None else np.ascontiguousarray(np.moveaxis(light, -1, 0))
    return Scene(shape, frame.pixels, clean_code, clean, mask, tuple(regions), patch, white, assumed, table)
